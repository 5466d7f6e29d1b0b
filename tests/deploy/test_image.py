"""The image's recipe and the compose file, as far as they can be looked at without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML
from tests.deploy.proxies import DEPLOY
from tests.test_docs import constants

ROOT = DEPLOY.parent
TEXT = (DEPLOY / "Containerfile").read_text()
COMPOSE = YAML(typ="safe").load((DEPLOY / "compose/compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def copied() -> list[str]:
    return [line.split()[1] for line in TEXT.splitlines() if re.match(r"COPY (?!--from)", line)]


def test_what_is_copied_is_there_and_reaches_the_builder_and_nothing_else_does() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("#", "")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())
    assert all((ROOT / name).exists() for name in copied())
    kept_out = {line for line in lines if line.startswith("**/")}
    assert kept_out == {"**/__pycache__", "**/node_modules", "**/.env*"}


def test_it_ends_as_a_user_of_its_own_with_a_pinned_base() -> None:
    assert re.search(r"^ARG BASE=\S+:\d+\.\d+", TEXT, flags=re.MULTILINE)
    last = TEXT.rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\d+):(\d+)$", last, flags=re.MULTILINE)
    assert users == [("10001", "10001")]
    assert "HEALTHCHECK" in last
    assert not re.search(r"(KEY|TOKEN|PASSWORD)\s*=", TEXT)


def test_compose_is_what_the_specification_allows() -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*argv, str(DEPLOY / "compose/compose.yaml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_the_cloud_is_shut_in_and_its_secrets_are_files() -> None:
    for name in ("migrate", "web", "worker"):
        one = SERVICES[name]
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["user"] == "10001:10001"
        assert "ports" not in one
    for name, one in COMPOSE["secrets"].items():
        assert one == {"file": f"./secrets/{name}"}
    for name in ("migrate", "worker"):
        assert SERVICES[name]["secrets"] == ["DATABASE_URL", "SHMASTRA_MASTER_KEY", "E2B_API_KEY"]
    known = constants(ROOT / "src") | {
        "POSTGRES_PASSWORD",
        "WORKOS_API_KEY",
        "WORKOS_COOKIE_PASSWORD",
        "WORKOS_WEBHOOK_SECRET",
    }
    assert set(COMPOSE["secrets"]) <= known


def test_only_caddy_is_in_the_network_whose_word_is_believed() -> None:
    trusted = SERVICES["web"]["environment"]["SHMASTRA_TRUSTED_PROXIES"]
    assert COMPOSE["networks"]["edge"]["ipam"]["config"] == [{"subnet": trusted}]
    shared = {name for name, one in SERVICES.items() if "edge" in one["networks"]}
    assert shared == {"web", "caddy"}
    assert set(SERVICES["web"]["networks"]) & set(SERVICES["caddy"]["networks"]) == {"edge"}
    grace = int(SERVICES["web"]["stop_grace_period"].removesuffix("s"))
    assert grace >= 25 + 10


def test_the_secrets_that_can_be_made_are_made_once(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_bytes((DEPLOY / "compose/secrets.sh").read_bytes())
    made = []
    for _ in range(2):
        done = subprocess.run(["sh", str(script)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert "E2B_API_KEY" in done.stdout
        made.append({path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(COMPOSE["secrets"])
    assert made[0]["POSTGRES_PASSWORD"] in made[0]["DATABASE_URL"]
    assert not made[0]["WORKOS_COOKIE_PASSWORD"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "secrets").iterdir())
    (tmp_path / "secrets/WORKOS_API_KEY").write_text("sk_test")
    subprocess.run(["sh", str(script)], capture_output=True, check=True, timeout=30)
    assert len((tmp_path / "secrets/WORKOS_COOKIE_PASSWORD").read_text()) >= 32
