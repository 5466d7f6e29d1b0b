from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.doubles.oidc import LyingProvider, lying_provider

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import EmailTaken, ShutOut, Users
from shmastra_cloud.identity.oidc import EmailUnverified, NotAMember, Provider
from shmastra_cloud.identity.oidc.arriving import provided_session, user_of
from shmastra_cloud.identity.oidc.claims import Rule
from shmastra_cloud.identity.oidc.provider import Tokens
from shmastra_cloud.identity.oidc.store import ProvidedSessions
from shmastra_cloud.secrets_at_rest import Vault

TEAM = {"required": Rule.parse("groups=team")}


@pytest.fixture(scope="module")
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as made:
        yield made


class Door:
    """What somebody comes through."""

    def __init__(self, liar: LyingProvider, pool: Pool, vault: Vault) -> None:
        self.liar, self.store, self.users = liar, ProvidedSessions(pool, vault), Users(pool, vault)

    async def come(self, *, rules: dict[str, Any] | None = None, **claims: Any) -> Any:
        provider = Provider(self.liar.config(**(rules or {})))
        try:
            tokens = Tokens("at", self.liar.claims(**claims), "idt", "rt")
            return await user_of(provider, self.store, self.users, tokens)
        finally:
            await provider.aclose()


@pytest.fixture
async def door(liar: LyingProvider, pool: Pool, vault: Vault) -> Door:
    return Door(liar, pool, vault)


async def test_a_member_comes_in_and_is_the_same_user_each_time(door: Door) -> None:
    assert await door.come(rules=TEAM) == await door.come(rules=TEAM, email="new@example.com")
    assert [row["email"] for row in await door.users.all()] == ["new@example.com"]


async def test_without_a_required_claim_only_who_was_invited_comes_in(door: Door) -> None:
    with pytest.raises(NotAMember):
        await door.come()
    invited = await door.users.invite("ann@example.com")
    with pytest.raises(EmailUnverified):
        await door.come(email_verified=False)
    assert await door.come() == invited
    assert await door.come(email="changed@example.com") == invited, "he is known by his id now"
    with pytest.raises(NotAMember):
        await door.come(sub="eve", email="changed@example.com")


async def test_anyone_comes_in_only_where_that_is_said(door: Door) -> None:
    assert await door.come(rules={"anyone": True}, groups=[])


async def test_the_claim_alone_does_not_do_without_a_verified_email(door: Door) -> None:
    with pytest.raises(EmailUnverified):
        await door.come(rules=TEAM, email_verified="true")
    with pytest.raises(EmailUnverified):
        await door.come(rules=TEAM, email=...)
    assert await door.come(rules={**TEAM, "trust_email": True}, email_verified=...)


async def test_who_is_shut_out_or_takes_anothers_email_stays_out(door: Door) -> None:
    await door.come(rules=TEAM)
    with pytest.raises(EmailTaken):
        await door.come(rules=TEAM, sub="eve")
    await door.users.set_disabled("ann@example.com", disabled=True)
    with pytest.raises(ShutOut):
        await door.come(rules=TEAM)


async def test_the_role_is_the_providers_only_where_a_claim_says_so(door: Door) -> None:
    rules = {**TEAM, "admin": Rule.parse("groups=admins")}
    for groups, role in ((["team", "admins"], "admin"), (["team", "xadmins"], "member")):
        await door.come(rules=rules, groups=groups)
        assert (await door.users.all())[0]["role"] == role


async def test_a_session_that_cannot_be_asked_about_is_short(door: Door) -> None:
    provider = Provider(door.liar.config(session_seconds=900, check_seconds=45))
    claims = door.liar.claims(sid="s")
    asked = provided_session(provider, door.store, Tokens("at", claims, "idt", "rt"))
    short = provided_session(provider, door.store, Tokens("at", {**claims, "sid": 7}, "idt"))
    assert (asked.check_seconds, asked.life_seconds, asked.session) == (45, 3600, "s")
    assert (short.check_seconds, short.life_seconds, short.session) == (None, 900, None)
    await provider.aclose()
