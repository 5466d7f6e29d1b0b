"""The mail server that a configuration names, and from whom mail is; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SUBMISSION, SUBMISSIONS = 587, 465  # RFC 8314, 3.3
NAME = "Shmastra Cloud"
_FORM = "SHMASTRA_SMTP_URL looks like smtp://user:password@mail.example.com:587 or smtps://...:465"


@dataclass(frozen=True)
class SmtpServer:
    """Where mail is handed over: under TLS from the start (``tls``), by STARTTLS, on loopback without."""

    host: str
    port: int
    tls: bool
    sender: Address
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def starttls(self) -> bool:
        """Whether the connection has to become a TLS one before anything is said."""
        return not self.tls and self.host not in LOOPBACK

    @property
    def shown(self) -> str:
        """The address without the password."""
        return f"{'smtps' if self.tls else 'smtp'}://{self.host}:{self.port}"


def parse_server(url: str, sender: str | None) -> SmtpServer:
    """Read ``smtp://user:password@host:587`` (or ``smtps://``), and from whom mail is.

    Raises:
        ValueError: it cannot be used; the message repeats nothing of it.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError(_FORM) from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(_FORM)
    if parts.path not in ("", "/") or (parts.username is None) != (parts.password is None):
        raise ValueError(_FORM)
    username = None if parts.username is None else unquote(parts.username)
    return SmtpServer(
        host=parts.hostname,
        port=port or (SUBMISSIONS if parts.scheme == "smtps" else SUBMISSION),
        tls=parts.scheme == "smtps",
        sender=_sender(sender or (username if username and "@" in username else None)),
        username=username,
        password=None if parts.password is None else unquote(parts.password),
    )


def _sender(text: str | None) -> Address:
    if text is None:
        raise ValueError("SHMASTRA_MAIL_FROM says from whom mail is, such as no-reply@example.com")
    name, address = parseaddr(text)
    try:
        found = Address(display_name=name or NAME, addr_spec=address)
    except (MessageError, ValueError, IndexError, AttributeError):
        found = Address()
    if not found.username or not found.domain:
        raise ValueError("SHMASTRA_MAIL_FROM is an email, such as no-reply@example.com")
    return found
