"""Where an answer's body goes piece by piece, also outside of a task."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]


class Sink:
    """What an ASGI ``send`` belongs to that can also be given a piece by a plain call.

    A ``send`` may wait in the middle of what it does, which only a task can. So that a piece can be passed on
    where there is none, in the call that brings it, all waiting is moved behind it, into :meth:`ready`.
    """

    __slots__ = ()

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Take an ASGI message."""

    @abstractmethod
    def offer(self, data: bytes) -> bool:
        """Send a piece of the body that more follows; False: await :meth:`ready` before anything else."""

    @abstractmethod
    async def ready(self) -> None:
        """Wait until more may be sent."""


def sink_of(send: Callable[[Message], Awaitable[None]]) -> Sink | None:
    """Return what a ``send`` is the method of, if that is a sink."""
    owner = getattr(send, "__self__", None)
    return owner if isinstance(owner, Sink) else None
