from pathlib import Path

import pytest

from sandboxd.engine import Engine
from sandboxd.errors import NoSuchSandbox, NoSuchTemplate


async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    engine = Engine(tmp_path, gateway=None, egress=[])
    await engine.open()
    assert engine.all() == []
    with pytest.raises(NoSuchSandbox, match="was not found"):
        engine.get("i1")
    with pytest.raises(NoSuchTemplate, match="template build"):
        await engine.create(
            "none", seconds=1, on_timeout="kill", metadata={}, envs={}, egress=None, public=True, once=None
        )
    assert list((tmp_path / "sandboxes").iterdir()) == []
