"""The messages: plain text, and the same as HTML, with one link."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shmastra_cloud.mail.errors import MailRefused
from shmastra_cloud.pages import TEMPLATES

if TYPE_CHECKING:
    import datetime as dt

    from shmastra_cloud.smtp_server import SmtpServer

_SIGN_IN = "Sign in to Shmastra Cloud"
_INVITED = "You are invited to Shmastra Cloud"


def sign_in_mail(server: SmtpServer, to: str, url: str, expires_at: dt.datetime | None) -> EmailMessage:
    """Return the message that brings somebody a link which he, or an admin, has asked for.

    Raises:
        MailRefused: no message can be addressed like that.
    """
    return _message(server, to, url, expires_at, title=_SIGN_IN, lead="Here is your link to sign in.")


def invitation(server: SmtpServer, to: str, url: str, expires_at: dt.datetime | None) -> EmailMessage:
    """Return the message that invites somebody; without ``expires_at``, ``url`` is the cloud's own address.

    Raises:
        MailRefused: no message can be addressed like that.
    """
    lead = (
        "An admin has invited you: a private Linux sandbox with Mastra Studio in front of it waits for you."
    )
    return _message(server, to, url, expires_at, title=_INVITED, lead=lead)


def _message(  # noqa: PLR0913 -- a message has this many parts
    server: SmtpServer, to: str, url: str, expires_at: dt.datetime | None, *, title: str, lead: str
) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    try:
        message["To"] = Address(addr_spec=to)
    except (MessageError, ValueError, IndexError, AttributeError) as error:
        raise MailRefused("No mail can be sent to this email.") from error
    message["From"] = server.sender
    message["Subject"] = title
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain=server.sender.domain)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is told to us
    values = {
        "title": title,
        "lead": lead,
        "url": url,
        "host": urlsplit(url).netloc,
        "expires": None if expires_at is None else f"{expires_at:%d %B %Y, %H:%M} UTC",
    }
    message.set_content(TEMPLATES.get_template("mail.txt").render(values))
    message.add_alternative(TEMPLATES.get_template("mail.html").render(values), subtype="html")
    return message
