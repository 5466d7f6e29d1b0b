import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.mail_server import Mailbox, mail_server

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users, spend_link
from shmastra_cloud.mail import Post, post
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.smtp_server import parse_server


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mail_server() as running:
        yield running


@pytest.fixture
async def counter(pool: Pool, box: Mailbox) -> AsyncIterator[Post]:
    found = Post(
        pool, parse_server(f"smtp://127.0.0.1:{box.port}", "team@example.com"), "https://cloud.example.com"
    )
    work = asyncio.create_task(found.run())
    yield found
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_only_a_user_who_may_come_in_gets_a_link_that_works_and_not_too_many(
    pool: Pool, vault: Vault, box: Mailbox, counter: Post
) -> None:
    users = Users(pool, vault)
    await users.invite("ann@example.com")
    await users.invite("bob@example.com")
    await users.set_disabled("bob@example.com", disabled=True)
    for email in ("nobody@example.com", "bob@example.com", "", "x" * 5000, "a\x00@b.c", "%@example.com"):
        counter.ask(email)
    counter.ask(" Ann@Example.com ")
    await asyncio.wait_for(box.arrived.wait(), 5)
    [mail] = box.mails
    assert mail["To"] == "ann@example.com"
    text = mail.get_body(("plain",))
    assert text is not None
    [url] = [
        line
        for line in text.get_content().splitlines()
        if line.startswith("https://cloud.example.com/login/link/")
    ]
    assert await spend_link(pool, url.rsplit("/", 1)[1])
    left = await pool.fetchval("select extract(epoch from expires_at - now())::int from login_links")
    assert 3500 < left <= 3600
    for _ in range(post.LINKS_IN_AN_HOUR + 3):
        counter.ask("ann@example.com")
    counter.ask("carl@example.com")
    while not counter._waiting.empty():
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert len(box.mails) == post.LINKS_IN_AN_HOUR


async def test_what_goes_wrong_is_logged_without_a_link_and_the_next_one_is_served(
    pool: Pool, vault: Vault, box: Mailbox, counter: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await Users(pool, vault).invite("ann@example.com")
    box.recipient_answers = ["550 Never"]
    counter.ask("ann@example.com")
    counter.ask("ann@example.com")
    await asyncio.wait_for(box.arrived.wait(), 5)
    assert "could not be mailed" in caplog.text
    assert "/login/link/" not in caplog.text
    await pool.execute("alter table login_links rename to gone")
    counter.ask("ann@example.com")
    while "could not be made" not in caplog.text:
        await asyncio.sleep(0.02)


async def test_what_waits_has_a_bound(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    counter = Post(pool, parse_server("smtp://127.0.0.1:1", "team@example.com"), "https://cloud.example.com")
    for _ in range(post.WAITING + 5):
        counter.ask("ann@example.com")
    assert counter._waiting.qsize() == post.WAITING
    assert "not sent" in caplog.text
