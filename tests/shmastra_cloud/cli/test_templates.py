import json
from pathlib import Path

from tests.shmastra_cloud.webs import shmastra

from shmastra_cloud.templates import source_version


def test_what_is_built_is_told(tmp_path: Path) -> None:
    assert b"template build" in shmastra("template", "list", "--data", str(tmp_path)).stdout
    missing = shmastra("template", "show", "--data", str(tmp_path))
    assert (missing.returncode, b"template list" in missing.stderr) == (1, True)
    templates = tmp_path / "engine" / "templates"
    for name, version in (("base", None), ("shmastra", "0123"), (".half.new", "9")):
        (templates / name).mkdir(parents=True)
        told = {"name": name, "version": version, "created_at": "2026-11-25T12:13:06+00:00"}
        (templates / name / "template.json").write_text(json.dumps(told))
    rows = json.loads(shmastra("template", "list", "--json", "--data", str(tmp_path)).stdout)
    assert [(row["name"], row["current"]) for row in rows] == [("base", True), ("shmastra", False)]
    (templates / "shmastra" / "template.json").write_text(json.dumps({"version": source_version()}))
    shown = json.loads(shmastra("template", "show", "--json", "--data", str(tmp_path)).stdout)
    assert shown == {"name": "shmastra", "version": source_version(), "created_at": None, "current": True}
    (templates / "shmastra" / "template.json").write_text("{")
    assert b"damaged" in shmastra("template", "list", "--data", str(tmp_path)).stderr
