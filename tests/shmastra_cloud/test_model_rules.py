import time
from pathlib import Path

import httpx
import openai
import pytest
from tests.shmastra_cloud.webs import MASTER_KEY, web_process

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import BadPattern
from shmastra_cloud.identity import UnknownUser, Users, key_hash
from shmastra_cloud.metering import KeysInDatabase
from shmastra_cloud.model_rules import rules_of, set_rules
from shmastra_cloud.secrets_at_rest import Vault


async def test_rules_are_kept_joined_and_removed(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    ann = await users.invite("ann@example.com")
    hashed = key_hash(await users.virtual_key(ann))
    keys = KeysInDatabase(pool)
    owner = await keys.lookup(hashed)
    assert owner is not None
    assert owner.models is None
    everyone = await set_rules(pool, None, ["anthropic/*", "!*/*-pro"])
    assert (everyone["email"], everyone["patterns"]) == (None, ["anthropic/*", "!*/*-pro"])
    for _ in range(2):
        mine = await set_rules(pool, "Ann@Example.com", ["openai/gpt-5*"])
    assert mine == {
        "email": "ann@example.com",
        "patterns": ["openai/gpt-5*"],
        "allowed": ["openai/gpt-5*"],
        "excluded": ["*/*-pro"],
    }
    owner = await keys.lookup(hashed)
    assert owner is not None
    assert str(owner.models) == "openai/gpt-5*, !*/*-pro"
    assert (await set_rules(pool, "ann@example.com", []))["allowed"] == ["anthropic/*"]
    assert (await set_rules(pool, None, []))["patterns"] == []
    assert (await rules_of(pool, "ann@example.com"))["allowed"] == []
    await set_rules(pool, "ann@example.com", ["*"])
    await users.remove("ann@example.com")
    assert await pool.fetchval("select count(*) from model_rules") == 0


async def test_who_or_what_does_not_exist_is_refused(pool: Pool) -> None:
    for wanted in (rules_of(pool, "no@one.com"), set_rules(pool, "no@one.com", [])):
        with pytest.raises(UnknownUser):
            await wanted
    with pytest.raises(BadPattern):
        await set_rules(pool, None, ["gpt-5"])
    assert (await rules_of(pool, None))["patterns"] == []


def _within_a_second(ask: httpx.Client, key: str, path: str, model: str, status: int) -> httpx.Response:
    deadline = time.monotonic() + 1
    while True:
        answer = ask.post(path, headers={"x-api-key": key}, json={"model": model})
        if answer.status_code == status:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)


async def test_a_change_holds_on_every_process_within_a_second(
    dsn: str, pool: Pool, vault: Vault, tmp_path: Path
) -> None:
    users = Users(pool, vault)
    key = await users.virtual_key(await users.invite("ann@example.com"))
    environ = {
        "DATABASE_URL": dsn,
        "SHMASTRA_MASTER_KEY": MASTER_KEY,
        "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
        "SHMASTRA_ENGINE_KEY": "e2b_test",
        "E2B_CONNECTION_RETRIES": "0",
        "OPENAI_API_KEY": "sk-real",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",  # nobody is there: what is let through is a 502
    }
    path = "/api/gateway/openai/v1/chat/completions"
    with (
        web_process(tmp_path, **environ) as first,
        web_process(tmp_path, "--only", "gateway", **environ) as second,
    ):
        clients = [httpx.Client(base_url=one.url) for one in (first, second)]
        for client in clients:
            _within_a_second(client, key, path, "gpt-5-pro", 502)
        first.shmastra("key", "models", "ann@example.com", "--allow", "openai/gpt-5*")
        first.shmastra("key", "models", "--organization", "--allow", "!openai/*-pro")
        for client in clients:
            refused = _within_a_second(client, key, path, "gpt-5-pro", 403)
            assert refused.json()["error"]["code"] == "model_not_allowed"
            assert "openai/gpt-5*, !openai/*-pro" in refused.json()["error"]["message"]
            _within_a_second(client, key, path, "gpt-5", 502)
        with (
            openai.OpenAI(api_key=key, base_url=f"{first.url}/api/gateway/openai/v1") as sdk,
            pytest.raises(openai.PermissionDeniedError, match="openai/gpt-5-pro is not allowed"),
        ):
            sdk.chat.completions.create(model="gpt-5-pro", messages=[])
        first.shmastra("key", "models", "--organization", "--none")
        for client in clients:
            _within_a_second(client, key, path, "gpt-5-pro", 502)
            client.close()
