from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.doubles.oidc import LyingProvider, lying_provider, signed

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Provided, Sessions, Users
from shmastra_cloud.identity.oidc import Provider
from shmastra_cloud.identity.oidc.checks import Checks
from shmastra_cloud.identity.oidc.claims import Rule
from shmastra_cloud.identity.oidc.store import ProvidedSessions, Secret
from shmastra_cloud.secrets_at_rest import Vault


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as made:
        yield made


class Running:
    """A session of Ann's that is due."""

    def __init__(self, liar: LyingProvider, pool: Pool, vault: Vault) -> None:
        rules: dict[str, Any] = {"required": Rule.parse("groups=team"), "admin": Rule.parse("groups=admins")}
        self.provider = Provider(liar.config(**rules))
        self.store, self.users = ProvidedSessions(pool, vault), Users(pool, vault)
        self.checks, self.pool = Checks(self.provider, self.store, self.users), pool

    async def begin(self, issuer: str | None = None, refresh_token: str | None = "rt") -> None:
        user_id = await self.users.invite("ann@example.com")
        secret = Secret(issuer or self.provider.config.issuer, "ann", refresh_token)
        provided = Provided("oidc", "s", self.store.seal(secret), check_seconds=0, life_seconds=600)
        await Sessions(self.pool).start(user_id, provided=provided)

    def kept(self, row: Any) -> str | None:
        secret = self.store.open(bytes(row["provider_secret"]))
        return secret and secret.refresh_token

    async def check(self) -> Any:
        await self.pool.execute("update sessions set check_after = now() - interval '1 second'")
        await self.checks.batch()
        return await self.pool.fetchrow(
            "select *, extract(epoch from expires_at - now()) as left from sessions"
        )


@pytest.fixture
async def running(liar: LyingProvider, pool: Pool, vault: Vault) -> AsyncIterator[Running]:
    made = Running(liar, pool, vault)
    yield made
    await made.provider.aclose()


async def test_a_yes_keeps_the_new_refresh_token_and_prolongs_the_session(
    liar: LyingProvider, running: Running
) -> None:
    await running.begin()
    liar.tokens(signed(liar.claims(groups=["team", "admins"])), refresh_token="rt2")
    row = await running.check()
    assert running.kept(row) == "rt2"
    assert row["left"] > 3500
    assert await running.pool.fetchval("select role from users") == "admin"
    liar.tokens(signed(liar.claims()), refresh_token=None)
    row = await running.check()
    assert running.kept(row) == "rt2"
    assert await running.pool.fetchval("select role from users") == "member"


@pytest.mark.parametrize("answer", [{"error": "invalid_grant"}, {"error": "interaction_required"}])
async def test_a_no_ends_the_session_and_nothing_else(
    liar: LyingProvider, running: Running, answer: dict[str, str]
) -> None:
    await running.begin()
    liar.answers["/token"] = answer
    assert await running.check() is None
    assert await running.pool.fetchval("select disabled_at from users") is None


async def test_a_lost_claim_shuts_out_even_where_only_userinfo_tells(
    liar: LyingProvider, running: Running
) -> None:
    await running.begin()
    liar.tokens(None)
    liar.answers["/me"] = {"sub": "ann", "groups": ["team"]}
    assert await running.check() is not None
    liar.answers["/me"] = {"sub": "ann"}
    assert await running.check() is None
    assert await running.pool.fetchval("select disabled_because from users") == "membership"


@pytest.mark.parametrize(
    "answer", [503, b"rubbish", {"error": "invalid_client"}, {"error": "slow_down"}], ids=str
)
async def test_no_answer_lets_it_live_until_it_expires(
    liar: LyingProvider, running: Running, answer: object
) -> None:
    await running.begin()
    liar.answers["/token"] = answer
    row = await running.check()
    assert row["left"] < 600, "it was not prolonged"
    assert bytes(row["provider_secret"])


async def test_a_session_is_not_prolonged_by_tokens_alone_while_userinfo_is_away(
    liar: LyingProvider, running: Running
) -> None:
    await running.begin()
    liar.tokens(None, refresh_token="rt2")
    liar.answers["/me"] = 503
    row = await running.check()
    assert row["left"] < 600
    assert running.kept(row) == "rt2"
    liar.answers["/me"] = 401
    assert await running.check() is None


async def test_what_cannot_be_asked_about_ends(liar: LyingProvider, running: Running) -> None:
    for secret in ({"refresh_token": None}, {"issuer": "https://former.example"}):
        await running.begin(**secret)
        assert await running.check() is None
    assert "/token" not in liar.asked
    await running.begin()
    await running.pool.execute("update sessions set provider_secret = 'x'")
    assert await running.check() is None


async def test_somebody_elses_answer_ends_it(liar: LyingProvider, running: Running) -> None:
    await running.begin()
    liar.tokens(signed(liar.claims(sub="bob")))
    assert await running.check() is None


async def test_it_runs_until_cancelled_and_outlives_the_database(
    liar: LyingProvider, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def fail(_most: int) -> Any:
        if asked.is_set():
            return []
        asked.set()
        raise OSError

    monkeypatch.setattr(running.store, "take_due", fail)
    monkeypatch.setattr("shmastra_cloud.identity.oidc.checks.LOOK_SECONDS", 0.01)
    task = asyncio.create_task(running.checks.run())
    await asyncio.wait_for(asked.wait(), 5)
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
