"""Links that people ask for on the sign-in page, mailed by a task of the process.

Whoever asks is answered before anybody has looked, so neither the answer nor its time tells who is a user.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE
from shmastra_cloud.identity import make_link
from shmastra_cloud.mail.errors import MailError
from shmastra_cloud.mail.message import sign_in_mail
from shmastra_cloud.mail.sending import send

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool
    from shmastra_cloud.smtp_server import SmtpServer

log = logging.getLogger(__name__)

WAITING = 100
EMAIL_CHARACTERS = 320
LIFE = dt.timedelta(hours=1)
LINKS_IN_AN_HOUR = 5  # of one user, of whatever origin: more are not mailed
_DUE = (
    "select id from users u where email = $1 and disabled_at is null and (select count(*) from login_links l"
    " where l.user_id = u.id and l.created_at > now() - interval '1 hour') < $2"
)


class Post:
    """Takes emails, and mails a link to those that are users'."""

    def __init__(self, pool: Pool, server: SmtpServer, public_url: str) -> None:
        self._pool, self._server, self._public_url = pool, server, public_url
        self._waiting: asyncio.Queue[str] = asyncio.Queue(WAITING)

    def ask(self, email: str) -> None:
        """Have a link mailed, soon; where too many wait already, none is."""
        email = email.strip().lower()
        if not 3 <= len(email) <= EMAIL_CHARACTERS or "\x00" in email:
            return
        try:
            self._waiting.put_nowait(email)
        except asyncio.QueueFull:
            log.warning("%d links wait to be mailed, and another one was asked for: it is not sent", WAITING)

    async def run(self) -> None:
        """Mail what is asked for, one after the other, until cancelled."""
        while True:
            email = await self._waiting.get()
            try:
                await self._mail(email)
            except MailError as error:
                log.warning("a link could not be mailed: %s", error)
            except TROUBLE as error:
                log.warning("a link could not be made (%s)", type(error).__name__)

    async def _mail(self, email: str) -> None:
        user_id = await self._pool.fetchval(_DUE, email, LINKS_IN_AN_HOUR)
        if user_id is None:
            return
        token, expires_at = await make_link(self._pool, user_id, LIFE)
        url = f"{self._public_url}/login/link/{token}"
        await send(self._server, sign_in_mail(self._server, email, url, expires_at))
