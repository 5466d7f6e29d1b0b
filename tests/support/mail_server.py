"""A real SMTP server (aiosmtpd) in the test's own loop, and ways for it to fail."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "cloud@example.com", "p@ss/word"


class Mailbox:
    """Keeps what was handed over; ``answers`` are given to RCPT or DATA first, before anything is taken."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.under_tls: list[bool] = []
        self.recipient_answers: list[str] = []
        self.data_answers: list[str] = []
        self.pause = 0.0
        self.port = 0
        self.arrived = asyncio.Event()

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        await asyncio.sleep(self.pause)
        if self.recipient_answers:
            return self.recipient_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answers:
            return self.data_answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.SMTP))  # type: ignore[arg-type]
        self.under_tls.append(session.ssl is not None)
        self.arrived.set()
        return "250 Taken"


def _known(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    good = isinstance(given, LoginPassword) and (given.login, given.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=good, handled=False)


@asynccontextmanager
async def mail_server(
    host: str = "127.0.0.1",
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    auth: bool = False,
) -> AsyncIterator[Mailbox]:
    """Serve a mailbox; ``starttls`` and ``tls`` are what it shows, ``auth`` has it ask who comes."""
    box = Mailbox()
    loop = asyncio.get_running_loop()

    def serve() -> SMTP:
        return SMTP(
            box,
            hostname="mail.example.com",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=_known if auth else None,
            auth_required=auth,
            auth_require_tls=starttls is not None,
            loop=loop,
        )

    server = await loop.create_server(serve, host, 0, ssl=tls)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
