import asyncio
import base64
import json
import uuid
from pathlib import Path
from typing import Any

import httpx

from shmastra_cloud import admin as feature
from shmastra_cloud.admin.master_key import Replacement, _lines
from shmastra_cloud.admin.parts import AdminParts
from shmastra_cloud.app import _control, admin_parts
from shmastra_cloud.audit import Actor
from shmastra_cloud.database import Pool, check_master_key
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import KeyFile, Vault, key_name, rotation
from shmastra_cloud.settings import load_settings

ME = Actor.of_uid(0, "socket")
A, B = b"k" * 32, b"b" * 32  # the first is that of the fixture `vault`


def lines(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_it_is_told_how_far_it_is_and_what_was_done(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    await check_master_key(pool, vault)
    user = await Users(pool, vault).invite("ann@example.com")
    (refused,) = lines(await admin.post("/master-key/rotate", json={}))
    assert refused["code"] == "master_key"
    assert "There is no new key" in str(refused["error"])
    vault.add(B)
    *told, last = lines(await admin.post("/master-key/rotate", json={"new_key": None}))
    assert told[0] == {"done": 0, "total": 1}
    assert last == {
        "rotation": {
            "new": key_name(Vault(B).fingerprint),
            "old": key_name(Vault(A).fingerprint),
            "secrets": 1,
            "moved": None,
        }
    }
    assert (await Users(pool, Vault(B)).virtual_key(user)).startswith("vk_")
    line = await pool.fetchrow("select * from audit_log where outcome = 'done'")
    assert line is not None
    assert (line["action"], line["actor_kind"]) == ("key.rotate-master", "os")
    assert json.loads(line["detail"])["secrets"] == 1
    assert await pool.fetchval("select detail ->> 'error' from audit_log where outcome = 'failed'")


async def test_a_key_that_the_cloud_would_forget_is_refused_and_one_that_is_none_not_shown(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    await check_master_key(pool, vault)
    given = base64.b64encode(B).decode()
    (refused,) = lines(await admin.post("/master-key/rotate", json={"new_key": given}))
    assert "would forget this one" in str(refused["error"])
    (refused,) = lines(await admin.post("/master-key/rotate", json={"new_key": "s3cret"}))
    assert "does not hold 32 bytes" in str(refused["error"])
    assert "s3cret" not in str(refused)
    assert vault.fingerprints == Vault(A).fingerprints


async def test_a_key_that_is_given_goes_into_the_file(pool: Pool, tmp_path: Path, engine: object) -> None:
    file = KeyFile(tmp_path / "master.key")
    file.path.write_bytes(base64.b64encode(A))
    vault = Vault(A, file=file)
    await check_master_key(pool, vault)
    app = _control(feature.router)
    app.state.admin = admin_parts(load_settings(), pool, vault, engine, None)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(feature.InProcess(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        answer = await client.post("/master-key/rotate", json={"new_key": base64.b64encode(B).decode()})
    assert lines(answer)[-1]["rotation"]
    assert file.read() == [B]


async def test_it_ends_with_the_one_that_asked(pool: Pool, vault: Vault, engine: object) -> None:
    await check_master_key(pool, vault)
    await Users(pool, vault).invite("ann@example.com")
    vault.add(B)
    parts: AdminParts = admin_parts(load_settings(), pool, vault, engine, None)  # type: ignore[arg-type]
    async with pool.acquire() as other, other.transaction():
        await other.execute("select from users for update")
        told = _lines(parts, ME, Replacement())
        assert json.loads(await anext(told)) == {"done": 0, "total": 1}
        await told.aclose()
    async with asyncio.timeout(5):
        while await pool.fetchval(
            "select exists (select from pg_locks where locktype = 'advisory' and objid = $1)", rotation.LOCK
        ):
            await asyncio.sleep(0.01)
    assert [line async for line in _lines(parts, ME, Replacement())][-1].startswith(b'{"rotation"')


async def test_an_admin_elsewhere_is_sent_to_the_machine(pool: Pool, vault: Vault, engine: object) -> None:
    app = _control(feature.router)
    app.state.admin = admin_parts(load_settings(), pool, vault, engine, None)  # type: ignore[arg-type]

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["actor"] = Actor.of_user(uuid.uuid4(), "ann@example.com", "10.0.0.9")
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(elsewhere), base_url="http://t") as client:
        answer = await client.post("/master-key/rotate", json={})
    assert (answer.status_code, answer.json()["code"]) == (403, "machine_only")
