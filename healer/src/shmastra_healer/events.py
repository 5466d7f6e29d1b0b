"""What the healer sees (events) and what it does about it (commands). No I/O."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Report: TypeAlias = Literal["healing", "ready", "broken"]


class Runner(NamedTuple):
    """What the dev server's runner says of itself in ``.shmastra/runner.json``.

    ``state`` is ``starting``, ``running``, ``reloading``, ``crashed``, ``stopped``, or ``broken`` where its
    code does not load and it waits for an edit; ``since`` tells one start from another.
    """

    state: str
    since: str


class Polled(NamedTuple):
    """The dev server was asked for its health."""

    healthy: bool
    runner: Runner | None


class Exited(NamedTuple):
    """The process that pm2 started has ended."""


class Orphaned(NamedTuple):
    """pm2 itself has ended; nobody restarts anything any more."""


class Asked(NamedTuple):
    """pm2 was asked about the dev server: its status, and for how many seconds it has been so.

    ``status`` is None where pm2 gave no answer, or knows no such process.
    """

    status: str | None
    seconds: float


class Restarted(NamedTuple):
    """A restart was tried; ``done`` is False where pm2 failed."""

    done: bool


class Refused(NamedTuple):
    """The cloud does not take a report now (409): its worker is at work on this sandbox, or pauses it."""

    status: Report


class Woke(NamedTuple):
    """The sandbox was suspended for a while, or got no processor: what was seen before says nothing."""


Event: TypeAlias = Polled | Exited | Orphaned | Asked | Restarted | Refused | Woke


class AskPm2(NamedTuple):
    """Ask pm2 about the dev server; answered by ``Asked``."""


class Restart(NamedTuple):
    """Restart the dev server; answered by ``Restarted``."""


class Tell(NamedTuple):
    """Report to the cloud; nothing waits for the answer."""

    status: Report
    attempt: int


class Note(NamedTuple):
    """Write a line into the healer's log."""

    text: str


Command: TypeAlias = AskPm2 | Restart | Tell | Note
