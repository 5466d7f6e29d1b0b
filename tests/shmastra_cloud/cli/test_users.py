import json
import time
from pathlib import Path

import httpx
import pytest
from tests.sandboxd.conftest import Daemon
from tests.shmastra_cloud.housing import EMAIL, House, engine_environment
from tests.shmastra_cloud.webs import MASTER_KEY, Web, shmastra, web_process

from shmastra_cloud.cli.users import _cost
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault


def within_a_second(answers: httpx.Client, path: str, headers: dict[str, str], wanted: int) -> None:
    deadline = time.monotonic() + 1
    while answers.get(path, headers=headers).status_code != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_removed_user_is_shut_out_of_every_process_and_his_sandbox_is_gone(
    web: Web, ann: House, dsn: str, daemon: Daemon, pool: Pool, vault: Vault, tmp_path: Path
) -> None:
    key = await Users(pool, vault).virtual_key(ann.user_id)
    await pool.execute(
        "insert into usage_events (user_id, provider, status, duration_ms, ended, cost_usd)"
        " values ($1, 'openai', 200, 1, 'complete', 0.1), ($1, 'openai', 200, 1, 'complete', 0.2)",
        ann.user_id,
    )
    link = json.loads(web.shmastra("user", "link", EMAIL, "--json").stdout)
    assert set(link) == {"email", "url", "expires_at"}
    (tmp_path / "other").mkdir()
    environ = {"DATABASE_URL": dsn, "SHMASTRA_MASTER_KEY": MASTER_KEY, **engine_environment(daemon)}
    with web_process(tmp_path / "other", **environ) as second:
        clients = [httpx.Client(base_url=one.url, headers={"origin": one.url}) for one in (web, second)]
        clients[0].post(httpx.URL(link["url"]).path)
        clients[1].cookies = clients[0].cookies
        bearer = {"authorization": f"Bearer {key}"}
        for client in clients:
            assert client.get("/api/me").status_code == 200
            assert client.get("/api/gateway/catalog", headers=bearer).status_code == 200
        assert web.shmastra("user", "remove", EMAIL).returncode == 1
        assert web.shmastra("user", "remove", EMAIL, "--yes").returncode == 0
        for client in clients:
            within_a_second(client, "/api/me", {}, 401)
            within_a_second(client, "/api/gateway/catalog", bearer, 401)
            client.close()
    assert not ann.sandbox.is_running()
    assert await pool.fetchval("select count(*) from users") == 0
    [used] = json.loads(web.shmastra("usage", "--json").stdout)
    assert used == {
        "user": "removed",
        "requests": 2,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": 0.3,
        "unpriced_requests": 0,
    }
    assert json.loads(web.shmastra("usage", "--json", "--since", "2999-01-01").stdout) == []
    assert b"Nothing was used yet" in web.shmastra("usage", "--since", "2999-01-01").stdout


async def test_a_sandbox_that_cannot_be_destroyed_keeps_its_user_known_but_shut_out(
    dsn: str, pool: Pool, vault: Vault, tmp_path: Path
) -> None:
    await pool.execute("select 1")
    environ = {
        "DATABASE_URL": dsn,
        "SHMASTRA_MASTER_KEY": MASTER_KEY,
        "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
        "SHMASTRA_ENGINE_KEY": "e2b_test",
        "E2B_CONNECTION_RETRIES": "0",
        "SHMASTRA_DATA": str(tmp_path),
    }
    user_id = await Users(pool, vault).invite(EMAIL)
    await pool.execute(
        "insert into sandboxes (user_id, mastra_token, sandbox_id) values ($1, '', 'i1')", user_id
    )
    await pool.execute("update sandboxes set mastra_token = $1", vault.seal("x", "sandboxes.mastra_token"))
    done = shmastra("user", "remove", EMAIL, "--yes", **environ)
    assert done.returncode == 1
    assert b"Remove him again" in done.stderr
    assert await pool.fetchval("select disabled_at is not null from users")


def test_users_are_served_from_the_database_where_no_cloud_runs(dsn: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_DATA": str(tmp_path), "SHMASTRA_MASTER_KEY": MASTER_KEY}
    assert b"user invite EMAIL" in shmastra("user", "list", **environ).stdout
    assert b"/login/link/" in shmastra("user", "invite", EMAIL, "--admin", **environ).stdout
    [row] = json.loads(shmastra("user", "list", "--json", **environ).stdout)
    assert set(row) == {"id", "email", "role", "disabled_at", "disabled_because", "created_at"}
    assert row["role"] == "admin"
    for word in ("disable", "enable"):
        assert EMAIL.encode() in shmastra("user", word, EMAIL, **environ).stdout
    assert shmastra("key", "rotate", EMAIL, **environ).returncode == 0
    assert b"like name@example.com" in shmastra("user", "invite", "rubbish", **environ).stderr
    assert shmastra("sandbox", "list", **environ).returncode == 1  # that needs a cloud


@pytest.mark.parametrize(
    ("cost", "unpriced", "shown"),
    [
        (0.0, 0, "0.000000"),
        (1.5, 0, "1.500000"),
        (0.0, 3, "no price"),
        (0.0001234, 2, "0.000123 + 2 without a price"),
    ],
)
def test_what_has_no_price_does_not_look_free(cost: float, unpriced: int, shown: str) -> None:
    assert _cost({"requests": 3, "cost_usd": cost, "unpriced_requests": unpriced}) == shown


def test_wrong_usage_is_2() -> None:
    assert shmastra("usage", "--by", "moon").returncode == 2
    assert shmastra("usage", "--since", "yesterday").returncode == 2
    assert shmastra("user", "remove").returncode == 2


def test_which_models_may_be_called_is_set_and_shown(dsn: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_DATA": str(tmp_path), "SHMASTRA_MASTER_KEY": MASTER_KEY}
    shmastra("user", "invite", EMAIL, **environ)
    allow = ("--allow", "openai/gpt-5*", "--allow", "!openai/*-pro")
    said = shmastra("key", "models", "--all-users", *allow, **environ)
    assert said.stdout.splitlines()[1:] == [b"Allowed: openai/gpt-5*", b"Excluded: openai/*-pro"]
    assert b"there is none" in shmastra("key", "models", EMAIL, **environ).stdout
    mine = shmastra("key", "models", EMAIL, "--allow", "openai/o*", "--json", **environ)
    assert json.loads(mine.stdout) == {
        "email": EMAIL,
        "patterns": ["openai/o*"],
        "allowed": ["openai/o*"],
        "excluded": ["openai/*-pro"],
    }
    for whose in (EMAIL, "--organization"):
        assert b"there is none" in shmastra("key", "models", whose, "--none", **environ).stdout
    assert b"every model" in shmastra("key", "models", EMAIL, **environ).stdout
    wrong = shmastra("key", "models", EMAIL, "--allow", "gpt-5", **environ)
    assert (wrong.returncode, b"provider/model" in wrong.stderr) == (1, True)
    for wrong_usage in ((), (EMAIL, "--all-users"), (EMAIL, "--none", "--allow", "*")):
        assert shmastra("key", "models", *wrong_usage, **environ).returncode == 2
