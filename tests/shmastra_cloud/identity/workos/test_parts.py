import asyncio

import pytest

from shmastra_cloud.identity.workos import Away
from shmastra_cloud.identity.workos.parts import MAILS_AT_ONCE, Mails


async def test_mails_are_sent_behind_the_answer_and_at_most_so_many(caplog: pytest.LogCaptureFixture) -> None:
    mails, gate, sent = Mails(), asyncio.Event(), []

    async def one(at: int) -> None:
        await gate.wait()
        sent.append(at)
        if at == 0:
            raise Away("WorkOS answers 500.")

    assert all(mails.send(one(at)) for at in range(MAILS_AT_ONCE))
    assert not mails.send(one(MAILS_AT_ONCE))
    gate.set()
    await mails.aclose()
    assert len(sent) == MAILS_AT_ONCE
    assert "a code could not be sent (Away: WorkOS answers 500.)" in caplog.text


async def test_what_takes_too_long_is_given_up_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shmastra_cloud.identity.workos.parts.LAST_SECONDS", 0.01)
    mails, given_up = Mails(), []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(True)

    mails.send(never())
    await asyncio.sleep(0)
    await mails.aclose()
    await asyncio.sleep(0)
    assert given_up == [True]
