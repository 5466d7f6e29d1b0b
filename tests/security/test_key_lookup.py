"""How a credential is looked up: nothing of it is a part of a query, and all of it counts.

LiteLLM CVE-2026-42208 (SQL in a key) and CVE-2026-35030 (a cache that knew tokens by their beginning).
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from tests.security.support import Cloud, status

SQL = [
    "' or 1=1 --",
    "' union select virtual_key_hash from users --",
    "'; drop table sessions; --",
    "\\'; select pg_sleep(5); --",
    "$1",
    "%27%20or%201=1",
    "1; copy users to program 'id'",
    "\u0000",
]
PLACES = ["x-api-key: {}", "Authorization: Bearer {}", "x-goog-api-key: {}"]
MODELS = "GET /api/gateway/openai/v1/models"


async def counted(dsn: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchrow(
            "select (select count(*) from users) as users, (select count(*) from sandboxes) as sandboxes"
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("text", SQL, ids=range(len(SQL)))
def test_a_key_a_session_and_a_link_are_values_only(cloud: Cloud, text: str) -> None:
    before = asyncio.run(counted(cloud.dsn))
    for said in (text, cloud.ann.key + text, f"vk_{cloud.ann.id}_{text}"):
        sent = said.replace("\u0000", "\\0")
        for place in PLACES:
            assert status(cloud.ask(MODELS, place.format(sent))) == 401
        assert status(cloud.ask("GET /api/me", f"Cookie: shmastra_session={sent}")) == 401
        heal = cloud.ask(
            "POST /api/sandbox/heal", f"Authorization: Bearer {sent}", body=b'{"status":"ready"}'
        )
        assert status(heal) == 401
    assert asyncio.run(counted(cloud.dsn)) == before
    assert cloud.provider.received == []


def others(secret: str) -> list[str]:
    """Return credentials that share their beginning, their end, or all but their spelling with one."""
    last = "0" if secret[-1] != "0" else "1"
    first = "0" if secret[-10] != "0" else "1"
    return [
        secret[:-1],
        secret[:-1] + last,
        secret[:-10] + first + secret[-9:],
        secret + "0",
        secret + "=",
        secret.upper(),
        secret[:20],
        secret[:48],
        secret * 2,
        f"{secret},{secret}",
        f"{secret} {secret}",
    ]


def test_a_key_that_begins_as_a_known_one_is_nobodys(cloud: Cloud) -> None:
    for _ in range(3):  # it is remembered now
        assert status(cloud.ask(MODELS, f"x-api-key: {cloud.ann.key}")) == 200
    for other in others(cloud.ann.key):
        assert status(cloud.ask(MODELS, f"x-api-key: {other}")) == 401, other
    assert len(cloud.provider.received) == 3


def test_a_session_that_begins_as_a_known_one_is_nobodys(cloud: Cloud) -> None:
    for _ in range(3):
        assert status(cloud.ask("GET /api/me", f"Cookie: shmastra_session={cloud.ann.session}")) == 200
    for other in others(cloud.ann.session):
        if other != cloud.ann.session:
            assert status(cloud.ask("GET /api/me", f"Cookie: shmastra_session={other}")) == 401, other


def test_the_users_id_in_a_key_gives_no_right(cloud: Cloud) -> None:
    bob = cloud.people["bob"]
    mixed = cloud.ann.key.replace(str(cloud.ann.id), str(bob.id))
    assert status(cloud.ask(MODELS, f"x-api-key: {mixed}")) == 401
