"""Handing a message over: each attempt has a time-out, and there are few of them."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiosmtplib
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shmastra_cloud.mail.errors import MailAway, MailRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage

    from shmastra_cloud.smtp_server import SmtpServer

log = logging.getLogger(__name__)

ATTEMPTS = 3
ATTEMPT_SECONDS = 8.0
PAUSE_SECONDS = 1.0


async def send(server: SmtpServer, message: EmailMessage, *, attempts: int = ATTEMPTS) -> None:
    """Hand a message over to the server; what it refuses for now is tried again a little later.

    Raises:
        MailAway: it was not taken in ``attempts`` attempts.
        MailRefused: it never will be.
    """
    async for attempt in AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=PAUSE_SECONDS, max=4 * PAUSE_SECONDS),
        retry=retry_if_exception_type(MailAway),
        reraise=True,
    ):
        with attempt:
            async with _connected(server) as client:
                await client.send_message(message)


async def probe(server: SmtpServer) -> None:
    """Say hello to the server, and sign in to it, once; no message is sent.

    Raises:
        MailAway: it does not answer.
        MailRefused: it does not let us in, or not safely.
    """
    async with _connected(server) as client:
        await client.noop()


@asynccontextmanager
async def _connected(server: SmtpServer) -> AsyncIterator[aiosmtplib.SMTP]:
    """Give a connection on which something may be said, and turn what goes wrong into an error of ours."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        use_tls=server.tls,
        start_tls=server.starttls,
        tls_context=ssl.create_default_context() if server.tls or server.starttls else None,
        local_hostname=server.sender.domain if server.sender.domain.isascii() else None,
        timeout=ATTEMPT_SECONDS,
    )
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            await client.connect()
            yield client
            with suppress(aiosmtplib.SMTPException):  # whatever it says to that, the message is taken
                await client.quit()
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
        raise _error(server, error) from error
    finally:
        client.close()


def _error(  # noqa: PLR0911 -- one answer a kind
    server: SmtpServer, error: Exception
) -> MailAway | MailRefused:
    """Return what went wrong, in our words: what was said to the server is not repeated."""
    unsafe = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if unsafe is not None:
        return MailRefused(f"{server.shown} {_unsafe(unsafe)}")
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
        return _answered(server, codes[0] if codes else 550, "the recipient")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        signing_in = isinstance(error, aiosmtplib.SMTPAuthenticationError)
        return _answered(server, error.code, "the user name or password" if signing_in else "the message")
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return MailRefused(f"{server.shown} cannot do what is needed: {error.message}")
    if type(error) is aiosmtplib.SMTPException:  # so it says that there is no STARTTLS
        return MailRefused(f"{server.shown} offers no STARTTLS, and nothing is sent in the clear.")
    if isinstance(error, ValueError):
        return MailRefused("No mail can be sent to this email.")
    log.info("%s does not answer (%s)", server.shown, type(error).__name__)
    return MailAway(f"{server.shown} does not answer.")


def _unsafe(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that cannot be trusted ({error.verify_message})."
    return "does not speak TLS as it should. Is it smtp:// or smtps://?"


def _answered(server: SmtpServer, code: int, what: str) -> MailAway | MailRefused:
    """Return what an answer means: 4xx for now, 5xx for ever (RFC 5321, 4.2.1)."""
    kind = MailAway if 400 <= code < 500 else MailRefused
    return kind(f"{server.shown} refuses {what} (answer {code}).")


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 10:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
