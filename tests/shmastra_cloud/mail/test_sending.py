import asyncio
import datetime as dt

import pytest
from tests.httprelay.certificates import Authority
from tests.support.mail_server import PASSWORD, USER, mail_server

from shmastra_cloud.mail import MailAway, MailRefused, probe, send, sending, sign_in_mail
from shmastra_cloud.smtp_server import SmtpServer, parse_server

AWAY = "127.0.0.2"  # reached without a network, and no loopback by its name: nothing is said in the clear


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 1.0)
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))


def server(port: int, host: str = "127.0.0.1", scheme: str = "smtp", *, auth: bool = False) -> SmtpServer:
    who = f"{USER.replace('@', '%40')}:{PASSWORD.replace('@', '%40').replace('/', '%2F')}@" if auth else ""
    return parse_server(f"{scheme}://{who}{host}:{port}", "team@example.com")


async def mail_to(found: SmtpServer, attempts: int = 3) -> None:
    expires_at = dt.datetime.now(dt.UTC)
    await send(
        found,
        sign_in_mail(found, "ann@example.com", "https://c/login/link/TOKEN", expires_at),
        attempts=attempts,
    )


async def test_a_mail_arrives_in_the_clear_on_loopback_and_under_tls_elsewhere(authority: Authority) -> None:
    async with mail_server() as box:
        await mail_to(server(box.port))
        assert (box.mails[0]["To"], box.under_tls) == ("ann@example.com", [False])
        assert box.mails[0].is_multipart()
    async with mail_server(AWAY, starttls=authority.serving(AWAY), auth=True) as box:
        await mail_to(server(box.port, AWAY, auth=True))
        await probe(server(box.port, AWAY, auth=True))
        assert (len(box.mails), box.under_tls) == (1, [True])
    async with mail_server(tls=authority.serving()) as box:
        await mail_to(server(box.port, scheme="smtps"))
        assert len(box.mails) == 1


async def test_nothing_is_sent_where_it_would_not_be_safe(authority: Authority) -> None:
    async with mail_server(AWAY) as box:
        with pytest.raises(MailRefused, match="no STARTTLS"):
            await mail_to(server(box.port, AWAY, auth=True))
        with pytest.raises(MailRefused, match="smtps://"):
            await mail_to(server(box.port, AWAY, "smtps"))
    for context in (
        authority.serving("127.0.0.9"),
        authority.serving(AWAY, expired=True),
        authority.serving(AWAY, own=True),
    ):
        async with mail_server(AWAY, starttls=context) as box:
            with pytest.raises(MailRefused, match="certificate that cannot be trusted"):
                await mail_to(server(box.port, AWAY))
            assert box.mails == []
        async with mail_server(AWAY, tls=context) as box:
            with pytest.raises(MailRefused, match="certificate that cannot be trusted"):
                await probe(server(box.port, AWAY, "smtps"))


async def test_what_is_refused_for_now_is_tried_again_and_what_is_refused_for_ever_is_not(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server() as box:
        box.recipient_answers, box.data_answers = ["450 Later"], ["451 Later"]
        await mail_to(server(box.port))
        assert len(box.mails) == 1
        box.recipient_answers = ["450 Later"] * 9
        with pytest.raises(MailAway, match="answer 450"):
            await mail_to(server(box.port))
        assert len(box.recipient_answers) == 6
        box.recipient_answers = ["550 TOKEN Never"] * 9
        with pytest.raises(MailRefused, match="refuses the recipient .answer 550.") as refused:
            await mail_to(server(box.port))
        assert len(box.recipient_answers) == 8
        assert "TOKEN" not in str(refused.value)
    async with mail_server(AWAY, starttls=authority.serving(AWAY), auth=True) as box:
        wrong = parse_server(f"smtp://ann%40example.com:secret@{AWAY}:{box.port}", None)
        with pytest.raises(MailRefused, match="user name or password"):
            await probe(wrong)
    assert "secret" not in caplog.text


async def test_who_is_slow_or_away_costs_a_bounded_time() -> None:
    loop = asyncio.get_running_loop()
    async with mail_server() as box:
        box.pause = 30
        begun = loop.time()
        with pytest.raises(MailAway, match="does not answer"):
            await mail_to(server(box.port), attempts=2)
        assert loop.time() - begun < 4
        port = box.port
        box.pause = 0
    with pytest.raises(MailAway, match="does not answer"):
        await mail_to(server(port))

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)
        writer.close()

    mute = await asyncio.start_server(silent, "127.0.0.1", 0)
    with pytest.raises(MailAway):
        await probe(server(mute.sockets[0].getsockname()[1]))
    mute.close()
    await asyncio.sleep(1.2)


async def test_an_email_that_the_server_cannot_write_is_refused() -> None:
    async with mail_server() as box:
        found = server(box.port)
        with pytest.raises(MailRefused):
            await send(found, sign_in_mail(found, "änn@example.com", "https://c/x", dt.datetime.now(dt.UTC)))
