import json
from pathlib import Path

import pytest
from tests.shmastra_cloud.webs import MASTER_KEY, Web, shmastra

from shmastra_cloud.cli import doctor
from shmastra_cloud.cli.doctor import diagnose
from shmastra_cloud.settings import load_settings

NAMES = {
    "python", "kernel", "privileges", "user_namespaces", "runc", "mmdebstrap", "seccomp", "cgroups", "disk",
    "node", "studio", "template", "cloud", "database", "sandboxes", "master_key", "providers", "public_url",
    "sign_in", "mail",
}  # fmt: skip
OF_DATABASE = {
    "database_version", "database_rights", "database_notifications", "database_schema", "database_privacy",
    "database_secrets", "database_connections", "database_clock", "database_latency",
}  # fmt: skip


def told(output: bytes) -> dict[str, dict[str, str]]:
    checks = json.loads(output)
    assert all(set(check) == {"name", "status", "detail", "fix"} for check in checks)
    assert all(check["fix"] for check in checks if check["status"] != "ok")
    return {check["name"]: check for check in checks}


def test_a_stopped_installation_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    done = shmastra("doctor", "--json", "--data", str(tmp_path))
    found = told(done.stdout)
    assert set(found) == NAMES
    assert "shmastra up" in found["cloud"]["fix"]
    assert (found["template"]["status"], found["template"]["fix"]) == ("failed", "shmastra template build")
    assert "not made yet" in found["database"]["detail"]
    assert done.returncode == 1
    assert not list(tmp_path.iterdir())
    assert b"-> shmastra template build" in shmastra("doctor", "--data", str(tmp_path)).stdout


def test_a_database_elsewhere_is_asked_and_its_password_not_shown(dsn: str, tmp_path: Path) -> None:
    address = dsn.replace("postgres@", "postgres:top-secret@")
    environ = {"DATABASE_URL": address, "SHMASTRA_MASTER_KEY": MASTER_KEY}
    done = shmastra("doctor", "--json", "--data", str(tmp_path), **environ)
    found = told(done.stdout)
    assert set(found) == NAMES | OF_DATABASE
    database = found["database"]
    assert database["status"] == "ok"
    assert database["detail"].startswith("postgresql://postgres@/")
    assert b"top-secret" not in done.stdout + done.stderr
    away = shmastra("doctor", "--json", "--data", str(tmp_path), DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert told(away.stdout)["database"]["status"] == "failed"


def test_a_running_cloud_is_asked_itself(web: Web) -> None:
    found = told(web.shmastra("doctor", "--json").stdout)
    assert [found[name]["status"] for name in ("cloud", "database", "sandboxes")] == ["ok", "ok", "ok"]
    assert found["sandboxes"]["detail"].startswith("http://127.0.0.1:")
    assert found["public_url"]["detail"] == web.url
    assert (found["reach"]["status"], found["database_clock"]["status"]) == ("ok", "ok")


def test_who_may_not_ask_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    monkeypatch.setattr(doctor, "_closed", lambda _: True)
    found = {check["name"]: check for check in diagnose(load_settings())}
    for name in ("cloud", "database", "sandboxes", "providers"):
        assert "closed to this user" in found[name]["detail"]
        assert found[name]["fix"]
