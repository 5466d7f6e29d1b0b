from __future__ import annotations

from pathlib import Path

import pytest
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ask

from shmastra_cloud.backup.archive import Reader
from shmastra_cloud.backup.inspecting import inspect
from shmastra_cloud.backup.refilling import refilled
from shmastra_cloud.supervisor import SERVICE, account

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(("present", "anew"), [([], 2), (None, 0)])
async def test_rows_are_put_in_and_made_true(
    saved: Saved, target: Path, present: list[str] | None, anew: int
) -> None:
    target.mkdir()
    with saved.file.open("rb") as file:
        manifest = inspect(file)
        file.seek(0)
        async with refilled(target, account(SERVICE), manifest, None, present) as rows:
            for name, body in Reader(file).members():
                if name.startswith("database/"):
                    await rows.take(name.removeprefix("database/"), body)
    assert rows.made_anew == anew
    found = await ask(target, "select sandbox_id, lease_owner from sandboxes where sandbox_id is not null")
    assert {row["lease_owner"] for row in found} <= {None}
    assert len(found) == 2 - anew
