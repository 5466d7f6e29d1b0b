import asyncio
import json
from pathlib import Path

import pytest
from tests.shmastra_cloud.webs import shmastra

from shmastra_cloud.cli import templates
from shmastra_cloud.cli.common import Failed
from shmastra_cloud.database import Pool
from shmastra_cloud.settings import load_settings
from shmastra_cloud.templates import source_version


def test_what_is_built_is_told(tmp_path: Path) -> None:
    assert b"template build" in shmastra("template", "list", "--data", str(tmp_path)).stdout
    missing = shmastra("template", "show", "--data", str(tmp_path))
    assert (missing.returncode, b"template list" in missing.stderr) == (1, True)
    folder = tmp_path / "engine" / "templates"
    for name, version in (("base", None), ("shmastra", "0123"), (".half.new", "9")):
        (folder / name).mkdir(parents=True)
        told = {"name": name, "version": version, "created_at": "2026-11-25T12:13:06+00:00"}
        (folder / name / "template.json").write_text(json.dumps(told))
    rows = json.loads(shmastra("template", "list", "--json", "--data", str(tmp_path)).stdout)
    assert [(row["name"], row["current"]) for row in rows] == [("base", True), ("shmastra", False)]
    (folder / "shmastra" / "template.json").write_text(json.dumps({"version": source_version()}))
    shown = json.loads(shmastra("template", "show", "--json", "--data", str(tmp_path)).stdout)
    assert shown == {"name": "shmastra", "version": source_version(), "created_at": None, "current": True}
    (folder / "shmastra" / "template.json").write_text("{")
    assert b"damaged" in shmastra("template", "list", "--data", str(tmp_path)).stderr


async def test_how_a_build_ended_is_written_into_the_database_where_no_cloud_runs(
    dsn: str, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", dsn)

    def nobody(*_: object) -> None:
        raise Failed("No cloud answers.")

    monkeypatch.setattr(templates, "ask", nobody)

    def build(*, fails: bool) -> None:
        with templates._written_down(load_settings()):
            if fails:
                raise LookupError

    await asyncio.to_thread(build, fails=False)
    with pytest.raises(LookupError):
        await asyncio.to_thread(build, fails=True)
    rows = await pool.fetch("select action, outcome from audit_log order by id")
    assert [tuple(row) for row in rows] == [("template.build", "done"), ("template.build", "failed")]
