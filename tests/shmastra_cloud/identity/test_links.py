import asyncio

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import LinkSpent, Users, make_link, spend_link
from shmastra_cloud.identity.links import link_is_good
from shmastra_cloud.secrets_at_rest import Vault


async def test_a_link_works_once_even_when_two_race(pool: Pool, vault: Vault) -> None:
    user = await Users(pool, vault).invite("ann@example.com")
    token, _ = await make_link(pool, user)
    assert await link_is_good(pool, token)
    results = await asyncio.gather(*(spend_link(pool, token) for _ in range(4)), return_exceptions=True)
    assert results.count(user) == 1
    assert sum(isinstance(result, LinkSpent) for result in results) == 3
    assert not await link_is_good(pool, token)


async def test_an_expired_link_and_one_of_a_disabled_user_do_not_work(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    token, _ = await make_link(pool, await users.invite("ann@example.com"))
    await pool.execute("update login_links set expires_at = now() - interval '1 second'")
    with pytest.raises(LinkSpent):
        await spend_link(pool, token)
    token, _ = await make_link(pool, await users.invite("bob@example.com"))
    await users.set_disabled("bob@example.com", disabled=True)
    with pytest.raises(LinkSpent):
        await spend_link(pool, token)


async def test_rubbish_is_no_link(pool: Pool) -> None:
    for rubbish in ("", "x" * 5000, "\ud800"):
        with pytest.raises(LinkSpent):
            await spend_link(pool, rubbish)
