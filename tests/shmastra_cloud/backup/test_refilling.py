from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.shmastra_cloud.backup.conftest import Saved
from tests.shmastra_cloud.backup.installations import ask, forged

from shmastra_cloud.backup.archive import Reader
from shmastra_cloud.backup.inspecting import inspect
from shmastra_cloud.backup.refilling import refilled
from shmastra_cloud.supervisor import SERVICE, account

pytestmark = pytest.mark.engine


def _sessions(found: dict[str, bytes]) -> None:
    """Put in what would sign somebody in, as the last table."""
    copy = dict(found)
    found.clear()
    for name, data in copy.items():
        if name.startswith("templates/") and "database/sessions" not in found:
            found["database/sessions"] = b"\\\\x00\t00000000-0000-0000-0000-000000000000\n"
        found[name] = data


def _told(manifest: dict[str, Any]) -> None:
    manifest["tables"].append({"name": "sessions", "columns": ["token_hash", "user_id"], "rows": 1})


@pytest.mark.parametrize(("present", "anew"), [([], 2), (None, 0)])
async def test_rows_are_put_in_and_made_true_and_nobody_is_signed_in(
    saved: Saved, target: Path, tmp_path: Path, present: list[str] | None, anew: int
) -> None:
    target.mkdir()
    with forged(saved.file, tmp_path / "b", members=_sessions, manifest=_told).open("rb") as file:
        manifest = inspect(file)
        file.seek(0)
        async with refilled(target, account(SERVICE), manifest, None, present) as rows:
            for name, body in Reader(file).members():
                if name.startswith("database/"):
                    await rows.take(name.removeprefix("database/"), body)
    assert rows.made_anew == anew
    found = await ask(
        target,
        "select sandbox_id, lease_owner, (select count(*) from sessions) as sessions,"
        " (select string_agg(action, ',') from audit_log) as acts"
        " from sandboxes where sandbox_id is not null",
    )
    assert {(row["lease_owner"], row["sessions"], row["acts"]) for row in found} <= {
        (None, 0, "backup.restore")
    }
    assert len(found) == 2 - anew
