"""What the routes of signing in with WorkOS need, one of each in a process."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from shmastra_cloud.identity.workos.errors import WorkosError
from shmastra_cloud.identity.workos.members import Members
from shmastra_cloud.identity.workos.provider import Provider
from shmastra_cloud.identity.workos.trail import Trails

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shmastra_cloud.identity.users import Users
    from shmastra_cloud.secrets_at_rest import Vault

log = logging.getLogger(__name__)

MAILS_AT_ONCE = 50
LAST_SECONDS = 2


class Mails:
    """Sends codes after the answer is out, so that its time does not tell whether an email is known."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, work: Coroutine[None, None, None]) -> bool:
        """Begin; False if too many are under way."""
        if len(self._tasks) >= MAILS_AT_ONCE:
            work.close()
            return False
        task = asyncio.create_task(self._sent(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _sent(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except WorkosError as error:
            log.warning("a code could not be sent (%s: %s)", type(error).__name__, error)

    async def aclose(self) -> None:
        """Wait a little for what is under way, and give the rest up."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_SECONDS)
            for task in late:
                task.cancel()


@dataclass(frozen=True)
class Parts:
    """The parts."""

    provider: Provider
    trails: Trails
    members: Members
    users: Users
    vault: Vault
    mails: Mails = field(default_factory=Mails)


def parts(request: Request) -> Parts:
    """Return the process's parts, which the router's own dependency has put there."""
    return cast("Parts", request.state.workos)


With = Annotated[Parts, Depends(parts)]
