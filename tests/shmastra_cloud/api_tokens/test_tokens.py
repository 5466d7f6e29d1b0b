import asyncio
from uuid import uuid4

import asyncpg
import pytest

from shmastra_cloud.api_tokens import Tokens, UnknownToken, tokens
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import MEMBERSHIP, Users
from shmastra_cloud.secrets_at_rest import Vault


async def test_a_token_is_its_owners_until_it_ends_and_is_kept_as_a_hash(pool: Pool, vault: Vault) -> None:
    ann, found = await Users(pool, vault).invite("ann@example.com", admin=True), Tokens(pool)
    made = await found.make(ann, "laptop", 90)
    assert made.token.startswith("sct_")
    holder = await found.find(made.token, "10.0.0.1")
    assert holder is not None
    assert (holder.user_id, holder.role, holder.token_id, holder.token_name) == (
        ann,
        "admin",
        made.id,
        "laptop",
    )
    everything = await pool.fetchval("select string_agg(t::text, '') from api_tokens t")
    assert made.token not in everything
    assert made.token[4:] not in everything
    [row] = await found.all()
    assert (row["email"], row["name"], row["last_used_from"]) == ("ann@example.com", "laptop", "10.0.0.1")
    used = row["last_used_at"]
    assert await found.find(made.token, "10.0.0.2")
    assert (await found.all())[0]["last_used_at"] == used  # which is known to a minute, and costs no write
    for wrong in ("", "sct_", "sct_x", made.token + "x", made.token[4:], "sct_" + "x" * 5000, "sct_\ud800"):
        assert await found.find(wrong, "10.0.0.1") is None
    await pool.execute("update api_tokens set expires_at = now()")
    assert await found.find(made.token, "10.0.0.1") is None
    assert await found.all() == []


async def test_each_way_to_lose_a_role_or_the_cloud_ends_every_token_at_once_and_for_ever(
    pool: Pool, vault: Vault, dsn: str
) -> None:
    users, found, told = Users(pool, vault), Tokens(pool), asyncio.Queue[str]()
    listening = await asyncpg.connect(dsn)
    await listening.add_listener("api_token", lambda *words: told.put_nowait(words[-1]))
    ann = await users.invite("ann@example.com", admin=True)
    await users.invite("bob@example.com", admin=True)
    for take, give in (
        (lambda: users.set_role(ann, "member"), lambda: users.set_role(ann, "admin")),
        (lambda: users.shut_out(ann, because="admin"), lambda: users.shut_out(ann, because=None)),
        (lambda: users.shut_out(ann, because=MEMBERSHIP), lambda: users.shut_out(ann, because=None)),
        (
            lambda: pool.execute("update users set role = 'member' where id = $1", ann),
            lambda: asyncio.sleep(0),
        ),
    ):
        await users.set_role(ann, "admin")
        made = await found.make(ann, "laptop", 1)
        await pool.execute("update users set first_sign_in_at = now()")
        assert await found.find(made.token, "")
        await take()
        assert await asyncio.wait_for(told.get(), 5) == str(ann)
        await give()
        assert await found.find(made.token, "") is None
    await users.set_role(ann, "admin")
    await found.make(ann, "laptop", 1)
    await users.remove("ann@example.com")
    assert await asyncio.wait_for(told.get(), 5) == str(ann)
    assert await pool.fetchval("select count(*) from api_tokens") == 0
    await listening.close()


async def test_tokens_are_revoked_by_their_owner_or_any_admin_and_are_not_too_many(
    pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, found = Users(pool, vault), Tokens(pool)
    ann, bob = [await users.invite(f"{name}@example.com", admin=True) for name in ("ann", "bob")]
    mine = await found.make(ann, "laptop", 1)
    with pytest.raises(UnknownToken):
        await found.revoke(mine.id, bob)
    assert await found.revoke(mine.id, ann) == ("ann@example.com", "laptop")
    for token_id in (mine.id, uuid4()):
        with pytest.raises(UnknownToken):
            await found.revoke(token_id)
    monkeypatch.setattr(tokens, "PER_USER", 2)
    made = [await found.make(ann, str(number), 1) for number in range(3)]
    assert await found.find(made[0].token, "") is None
    assert {row["name"] for row in await found.all(ann)} == {"1", "2"}
    assert await found.all(bob) == []
