from pathlib import Path

import pytest

from shmastra_cloud.doctor.files import check_files, master_key
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.settings import load_settings


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    return tmp_path


def test_what_is_missing_names_the_command(data: Path) -> None:
    found = {check.name: check for check in check_files(load_settings())}
    assert [found[name].fix for name in ("studio", "template")] == ["shmastra template build"] * 2
    (data / "studio").mkdir()
    (data / "studio" / "index.html").touch()
    template = data / "engine" / "templates" / "shmastra"
    template.mkdir(parents=True)
    (template / "template.json").write_text('{"version": "old"}')
    found = {check.name: check for check in check_files(load_settings())}
    assert [found[name].status for name in ("studio", "template")] == ["ok", "warning"]
    assert not (data / "master.key").exists()


def test_the_master_key_is_looked_at_and_never_made(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert master_key(load_settings()).status == "ok"
    load_vault(load_settings())
    assert master_key(load_settings()).status == "ok"
    (data / "master.key").chmod(0o644)
    assert master_key(load_settings()).fix.startswith("chmod 600")
    (data / "master.key").write_text("rubbish!")
    assert master_key(load_settings()).status == "failed"
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", "short")
    assert "short" not in master_key(load_settings()).detail
