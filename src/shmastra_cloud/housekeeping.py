"""What a web process throws away of sign-ins: expired sessions and links, attempts that were counted."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from shmastra_cloud.database import TROUBLE

if TYPE_CHECKING:
    from shmastra_cloud.web_context import WebContext

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
# A link that has expired is kept for a week, for whoever looks into what happened.
_LINKS = (
    "delete from login_links where token_hash in (select token_hash from login_links"
    " where expires_at < now() - interval '7 days' limit 500 for update skip locked)"
)


async def sweep(here: WebContext, seconds: float = SWEEP_SECONDS) -> None:
    """Throw away what has expired about every ``seconds``, until cancelled.

    Each process does it; rows that another one has at hand are left to it.
    """
    while True:
        await asyncio.sleep(random.uniform(seconds / 2, seconds))  # noqa: S311 -- jitter, not a secret
        try:
            while await here.sessions.sweep():
                continue
            await here.attempts.sweep()
            await here.pool.execute(_LINKS)
        except TROUBLE as error:
            log.warning("what has expired could not be deleted (%s)", type(error).__name__)
