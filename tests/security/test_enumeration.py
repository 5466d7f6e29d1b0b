"""What an answer tells of who there is: nothing, to whoever may not know.

The way in by email is WorkOS's; its tests ask for codes of members and of strangers.
"""

from __future__ import annotations

import asyncio
import re

import asyncpg
import pytest
from tests.security.support import Cloud, status


def shown(answer: bytes) -> bytes:
    """Return an answer without what is of its own: nonce and date."""
    return re.sub(rb"(?m)nonce[-=][^ ;>]+|^date: .*$", b"", answer)


async def change(dsn: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_links_that_do_not_work_are_all_answered_alike(cloud: Cloud, method: str) -> None:
    used, expired, shut = cloud.link("eve"), cloud.link("eve"), cloud.link("eve")
    assert status(cloud.ask(f"POST /login/link/{used}", f"Origin: {cloud.url}")) == 303
    asyncio.run(
        change(
            cloud.dsn,
            "update login_links set expires_at = now() where token_hash = sha256($1::text::bytea)",
            expired,
        )
    )
    asyncio.run(change(cloud.dsn, "update users set disabled_at = now() where email = 'eve@example.com'"))
    try:
        answers = {
            shown(cloud.ask(f"{method} /login/link/{token}", f"Origin: {cloud.url}"))
            for token in (used, expired, shut, "made-up", "A" * 43)
        }
    finally:
        asyncio.run(change(cloud.dsn, "update users set disabled_at = null where email = 'eve@example.com'"))
    assert len(answers) == 1
    assert status(answers.pop()) == 410


@pytest.mark.parametrize("route", ["/api/manage/users/{}/models", "/api/manage/budgets/{}"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_who_is_no_admin_learns_of_no_user(cloud: Cloud, route: str, *, signed_in: bool) -> None:
    headers = cloud.mine() if signed_in else []
    answers = {
        shown(cloud.ask(f"GET {route.format(who)}", *headers))
        for who in ("ann@example.com", "bob@example.com", "nobody@example.com", "organization")
    }
    assert len(answers) == 1
    assert status(answers.pop()) == (404 if signed_in else 401)


def test_an_unknown_key_and_a_disabled_users_key_are_refused_alike(cloud: Cloud) -> None:
    eve = cloud.people["eve"]
    asyncio.run(change(cloud.dsn, "update users set disabled_at = now() where id = $1", eve.id))
    try:
        made_up = eve.key[:-4] + ("0000" if eve.key[-4:] != "0000" else "1111")
        ask = "GET /api/gateway/openai/v1/models"
        first, second = (shown(cloud.ask(ask, f"x-api-key: {key}")) for key in (eve.key, made_up))
        assert first == second
        assert status(first) == 401
    finally:
        asyncio.run(change(cloud.dsn, "update users set disabled_at = null where id = $1", eve.id))
