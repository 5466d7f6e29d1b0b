import pytest
from tests.doubles.workos import ENVIRONMENT

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Provided, Sessions, Users
from shmastra_cloud.identity.choose import end_others, ways
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings


async def test_one_time_links_are_all_there_is_while_no_provider_is_configured(
    pool: Pool, vault: Vault
) -> None:
    assert ways(load_settings(), pool, vault, Users(pool, vault)) == ()


async def test_workos_offers_two_ways_once_it_is_configured(
    pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    found = ways(load_settings(), pool, vault, Users(pool, vault))
    assert [way.start for way in found] == ["/login/workos", "/login/workos/email"]
    for way in found:
        for work in way.background:
            work.close()
        for close in way.closing:
            await close()


async def test_sessions_of_a_provider_that_is_not_chosen_any_more_end(
    pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, sessions = await Users(pool, vault).invite("ann@example.com"), Sessions(pool, lambda: False)
    local = await sessions.start(user_id)
    theirs = await sessions.start(user_id, provided=Provided("workos", "session_1"))
    with monkeypatch.context() as chosen:
        for name, value in ENVIRONMENT.items():
            chosen.setenv(name, value)
        await end_others(load_settings(), pool)
        assert await sessions.user(theirs) is not None
    await end_others(load_settings(), pool)
    assert await sessions.user(theirs) is None
    assert await sessions.user(local) is not None
