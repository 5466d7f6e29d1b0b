"""The mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.doctor.check import Check, ok, warning
from shmastra_cloud.mail import MailAway, MailError, probe

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings


async def mail(settings: Settings) -> Check:
    """Ask the mail server whether it lets us in; no message is sent."""
    server = settings.smtp
    if server is None:
        return ok("mail", "none: links are printed, not mailed (SHMASTRA_SMTP_URL is not set)")
    try:
        await probe(server)
    except MailAway as error:
        return warning("mail", str(error), "Is SHMASTRA_SMTP_URL right, and may this machine reach it?")
    except MailError as error:
        return warning("mail", str(error), "Correct SHMASTRA_SMTP_URL and start again.")
    return ok("mail", f"{server.shown}, from {server.sender.addr_spec}")
