import sys
from pathlib import Path

import pytest

from shmastra_cloud.templates import BuildFailed, is_built, source_version, studio_bundle
from shmastra_cloud.templates.build import SOURCE, _add_healer, _warm, install


def test_the_version_changes_with_the_source_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = source_version(tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x").touch()
    assert source_version(tmp_path) == first
    (tmp_path / "a").write_text("2")
    assert source_version(tmp_path) != first


def test_the_version_changes_with_the_healer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("template", "healer"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys.modules["shmastra_cloud.templates.build"], "HEALER", tmp_path / "healer")
    first = source_version(tmp_path / "template")
    (tmp_path / "healer" / "__pycache__").mkdir()
    (tmp_path / "healer" / "__pycache__" / "x.pyc").touch()
    assert source_version(tmp_path / "template") == first
    (tmp_path / "healer" / "decide.py").touch()
    assert source_version(tmp_path / "template") != first


def test_the_healer_is_roots_and_readable(tmp_path: Path) -> None:
    _add_healer(tmp_path)
    placed = tmp_path / "opt/healer/shmastra_healer"
    assert {file.name for file in placed.iterdir()} >= {"__main__.py", "decide.py", "loop.py"}
    assert not list(placed.glob("__pycache__"))
    assert (placed / "loop.py").stat().st_mode & 0o777 == 0o644
    assert placed.stat().st_mode & 0o777 == 0o755


def test_rubbish_is_no_template(tmp_path: Path) -> None:
    assert not is_built(tmp_path)
    (tmp_path / "shmastra").mkdir()
    (tmp_path / "shmastra" / "template.json").write_text("{")
    assert not is_built(tmp_path)


def test_a_missing_bundle_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="template build"):
        studio_bundle(tmp_path, tmp_path / "studio")


def test_packages_are_installed_once_from_the_lock(tmp_path: Path) -> None:
    target = install(SOURCE / "tools", tmp_path / "tools")
    for program in ("pm2/bin/pm2", "pnpm/bin/pnpm.cjs"):
        assert (target / "node_modules" / program).exists()
    marker = target / "marker"
    marker.touch()
    install(SOURCE / "tools", target)
    assert marker.exists()


def test_lock_files_hold_hashes_and_name_no_host() -> None:
    for lock in (SOURCE / "package-lock.json", SOURCE / "tools/package-lock.json"):
        text = lock.read_text()
        assert text.count('"integrity"') > 50
        assert '"resolved"' not in text


def test_a_template_that_cannot_be_warmed_is_still_one(tmp_path: Path) -> None:
    said: list[str] = []
    _warm(tmp_path, said.append)
    (line,) = said
    assert line.startswith("sandboxes will start slower than they could: unshare failed")
