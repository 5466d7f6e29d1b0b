import asyncio
from pathlib import Path

import httpx
from tests.shmastra_cloud.webs import MASTER_KEY, shmastra, web_process

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.provider_list import announced
from shmastra_cloud.secrets_at_rest import Vault


async def test_the_gateway_alone_needs_a_database_and_nothing_else(
    dsn: str, tmp_path: Path, pool: Pool, vault: Vault
) -> None:
    users = Users(pool, vault)
    user_id = await users.invite("ann@example.com")
    key = await users.virtual_key(user_id)
    with web_process(tmp_path, "--only", "gateway", DATABASE_URL=dsn, OPENAI_API_KEY="sk-real") as web:
        async with httpx.AsyncClient(base_url=web.url) as client:
            assert (await client.get("/ready")).json() == {"database": "ok"}
            bearer = {"authorization": f"Bearer {key}"}
            assert (await client.get("/api/gateway/catalog")).status_code == 401
            assert (await client.get("/api/gateway/catalog", headers=bearer)).json()["providers"] == [
                "openai"
            ]
            for closed in ("/", "/workspace", "/studio", "/api/me", "/api/mastra/agents", "/users"):
                assert (await client.get(closed)).status_code == 404
            await users.rotate_key("ann@example.com")
            async with asyncio.timeout(1):
                while (await client.get("/api/gateway/catalog", headers=bearer)).status_code != 401:
                    await asyncio.sleep(0.02)
        assert "sk-real" not in web.log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == [web.log.name]  # no key, no sockets, no folders


async def test_the_gateway_alone_tells_sandboxes_of_its_further_providers(
    dsn: str, tmp_path: Path, pool: Pool, vault: Vault
) -> None:
    environ = {"SHMASTRA_PROVIDERS": "acme=https://llm.acme.io/v1 ACME_KEY", "ACME_KEY": "sk-real"}
    environ |= {"GROQ_API_KEY": "sk-real", "SHMASTRA_MODELS_FAST": "acme/small"}
    users = Users(pool, vault)
    key = await users.virtual_key(await users.invite("ann@example.com"))
    with web_process(tmp_path, "--only", "gateway", DATABASE_URL=dsn, **environ) as web:
        assert await announced(pool) == ["acme", "groq"]
        async with httpx.AsyncClient(base_url=web.url) as client:
            told = await client.get("/api/gateway/catalog", headers={"x-api-key": key})
        assert told.json()["providers"] == ["groq", "acme"]
        assert told.json()["tiers"]["fast"] == "acme/small"
        assert "sk-real" not in web.log.read_text()


def test_a_gateway_without_a_database_says_what_is_missing(tmp_path: Path) -> None:
    done = shmastra("web", "--only", "gateway", SHMASTRA_DATA=str(tmp_path))
    assert (done.returncode, b"DATABASE_URL" in done.stderr) == (1, True)
    assert shmastra("web", "--only", "pages").returncode == 2


def test_a_bad_provider_setting_is_named_without_its_key(dsn: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_DATA": str(tmp_path), "SHMASTRA_MASTER_KEY": MASTER_KEY}
    done = shmastra("web", "--only", "gateway", OPENAI_API_KEY="sk secret", **environ)
    assert (done.returncode, b"OPENAI_API_KEY" in done.stderr) == (1, True)
    assert b"sk secret" not in done.stderr
    done = shmastra("web", "--only", "gateway", SHMASTRA_PROVIDERS="acme=https://x/v1 sk-secret", **environ)
    assert (done.returncode, b"SHMASTRA_PROVIDERS" in done.stderr) == (1, True)
    assert b"sk-secret" not in done.stderr
    done = shmastra("web", "--only", "gateway", SHMASTRA_MODELS_BEST="nobody/x", **environ)
    assert (done.returncode, b"SHMASTRA_MODELS_BEST" in done.stderr) == (1, True)
