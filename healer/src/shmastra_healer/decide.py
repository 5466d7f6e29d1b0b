"""What to do about what is seen: events in, commands out. No I/O; time comes with each event.

::

    well ──failed polls, or an exit──► doubt ──it comes back──► well
                                         │ it does not
                                         ▼
    aside ◄──the cloud refuses── resting ──► trying ──healthy──► well: ready
                                    ▲          │ failed
                                    └──────────┴──after three──► broken ──healthy──► well: healing, ready

Behind ``well`` stands what is reported on the way. ``resting`` waits before an attempt, ``trying`` waits for
its result. ``starting`` is doubt with more time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, TypeAlias

from shmastra_healer.events import (
    Asked,
    AskPm2,
    Command,
    Event,
    Exited,
    Note,
    Orphaned,
    Polled,
    Refused,
    Report,
    Restart,
    Restarted,
    Runner,
    Tell,
    Woke,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from shmastra_healer.settings import Patience

Phase: TypeAlias = Literal["well", "doubt", "starting", "resting", "trying", "aside", "broken"]

MAX_ATTEMPTS = 3
FAILED_POLLS = 2
MANY_EXITS = 2
IN_MOTION = ("launching", "stopping")
NO_SERVER = ("starting", "crashed", "broken", "stopped")
RELOADS = ("starting", "reloading")


class Decider:
    """Turns events into commands.

    ``told`` is the last report of the healer that ran before this one; ``jitter`` gives a factor for rests.
    """

    def __init__(
        self,
        patience: Patience,
        now: float,
        told: Report | None = None,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 -- no secret
    ) -> None:
        self._patience, self._jitter = patience, jitter
        self._inherited = told
        self.phase: Phase = "starting"
        self._since = now
        self._until = now + patience.start
        self._failures = self._exits = self._attempt = 0
        self._well_since: float | None = None
        self._asked = self._alone = False
        self._runner: Runner | None = None
        self._runner_since = now
        self._before: Runner | None = None

    @property
    def poll_after(self) -> float:
        """Seconds until the dev server is to be asked again."""
        return self._patience.poll if self.phase in ("well", "broken") else self._patience.quick

    def handle(self, event: Event, now: float) -> list[Command]:
        """Return what is to be done about an event; ``now`` is in seconds of a clock that never goes back."""
        match event:
            case Polled():
                commands = self._polled(event, now)
            case Exited():
                commands = self._exited(now)
            case Orphaned():
                commands = self._orphaned(now)
            case Asked():
                commands = self._told_by_pm2(event, now)
            case Restarted():
                commands = self._restarted(event, now)
            case Refused():
                commands = self._refused(event.status, now)
            case Woke():
                commands = self._woke(now)
        return commands

    def _polled(self, event: Polled, now: float) -> list[Command]:
        if event.runner != self._runner:
            self._runner, self._runner_since = event.runner, now
        overdue = now >= self._until
        if event.healthy and (not self._is_a_stranger() or (overdue and self._may_be_ours())):
            return self._healthy(now)
        if self.phase == "well":
            return self._unhealthy(now)
        return self._overdue(now) if overdue else self._without_hope(now)

    def _overdue(self, now: float) -> list[Command]:
        """What was waited for has not come in its time."""
        commands: list[Command] = []
        match self.phase:
            case "doubt" if not self._asked:
                self._asked = True
                commands = [AskPm2()]
            case "starting" | "aside":
                commands = self._crash(f"the dev server is not healthy after {now - self._since:.0f} s", now)
            case "resting":
                self._before = self._runner
                line = f"attempt {self._attempt} of {MAX_ATTEMPTS}: restarting the dev server"
                commands = [Note(line), Restart()]
            case "trying":
                commands = self._failed(f"it was not healthy within {self._patience.start:.0f} s", now)
        return commands

    def _without_hope(self, now: float) -> list[Command]:
        """End a wait early where the runner says that nothing will come of it."""
        state = self._runner.state if self._runner is not None else ""
        if self.phase == "starting" and state == "broken":
            return self._crash("the code does not load", now)
        given_up = state == "broken" or (state == "crashed" and self._exits)  # not the word of the one before
        if self.phase == "trying" and given_up and self._runner != self._before:
            return self._failed("it did not start", now)
        return []

    def _is_a_stranger(self) -> bool:
        """Tell whether something answers while the runner says that its server does not run.

        After an exit this may be an old server that outlived its runner. While all is well, a runner may be
        preparing a new server beside the old one.
        """
        runner = self._runner
        if self._alone and self.phase == "resting":  # whose runner nobody would start again
            return True
        if self.phase == "well" or runner is None:
            return False
        stale = self.phase in ("doubt", "starting", "trying") and runner == self._before
        return stale or runner.state in NO_SERVER

    def _may_be_ours(self) -> bool:
        """Tell whether it is the runner's word that is wrong, as on a full disk: its server keeps running."""
        return self.phase in ("starting", "trying") and self._runner == self._before and not self._exits

    def _unhealthy(self, now: float) -> list[Command]:
        if self._runner is not None and self._runner.state in RELOADS:
            if now - self._runner_since < self._patience.start:
                return []
            return self._crash(f"a start has hung for {now - self._runner_since:.0f} s", now)
        self._failures += 1
        if self._failures < FAILED_POLLS:
            return [Note("a poll of the dev server failed")]
        return [AskPm2()]

    def _healthy(self, now: float) -> list[Command]:
        before, self.phase = self.phase, "well"
        self._failures = self._exits = 0
        self._asked = False
        if self._well_since is None:
            self._well_since = now
        elif now - self._well_since >= self._patience.steady:
            self._attempt = 0
        if before == "well":
            return []
        self._well_since = now
        return [Note("the dev server is healthy"), *self._good_news(before)]

    def _good_news(self, before: Phase) -> list[Command]:
        """Return what takes the cloud's status to ``ready``; from ``broken`` that is through ``healing``."""
        attempt = max(self._attempt, 1)
        inherited = self._inherited
        if before == "broken":
            self._inherited, self._attempt = None, 0
            return [Tell("healing", 1), Tell("ready", 1)]
        if before in ("resting", "trying", "aside") or inherited in ("healing", "broken"):
            self._inherited = inherited if inherited == "broken" else None
            return [Tell("ready", attempt)]
        return []

    def _exited(self, now: float) -> list[Command]:
        match self.phase:
            case "well":
                self._enter("doubt", now, self._patience.cure)
                self._exits, self._before = 1, self._runner
                return [Note("the dev server has ended")]
            case "doubt" | "starting" | "trying":
                self._exits += 1
                return [Note("the dev server has ended"), *self._ended_again(now)]
        return []

    def _ended_again(self, now: float) -> list[Command]:
        if self._exits < MANY_EXITS or self.phase == "doubt":
            return []
        why = "it ends again and again"
        return self._failed(why, now) if self.phase == "trying" else self._crash(why, now)

    def _orphaned(self, now: float) -> list[Command]:
        self._alone = True
        if self.phase == "broken":
            self._attempt = 0
            return [Note("pm2 itself has ended"), *self._next_attempt(now)]
        return self._crash("pm2 itself has ended", now)

    def _told_by_pm2(self, event: Asked, now: float) -> list[Command]:
        seen_healthy = self.phase == "well" and self._well_since is not None
        new = not seen_healthy or event.seconds < now - (self._well_since or 0)
        young = event.status == "online" and event.seconds < self._patience.start and new
        if event.status in IN_MOTION or (young and self._exits < MANY_EXITS):
            self._enter("starting", now, self._patience.start)
            return [Note(f"pm2 says {event.status}; the dev server gets time to start")]
        what = "has ended" if self._exits else "does not answer"
        return self._crash(f"the dev server {what}; pm2 says {event.status or 'nothing'}", now)

    def _crash(self, why: str, now: float) -> list[Command]:
        if self.phase in ("resting", "trying", "broken"):
            return []
        self._inherited = None
        if self._well_since is not None and now - self._well_since >= self._patience.steady:
            self._attempt = 0
        self._well_since = None
        at_its_end = [Tell("healing", MAX_ATTEMPTS)] if self._attempt >= MAX_ATTEMPTS else []
        return [Note(f"crash: {why}"), *at_its_end, *self._next_attempt(now)]

    def _next_attempt(self, now: float) -> list[Command]:
        if self._attempt >= MAX_ATTEMPTS:
            self._enter("broken", now, self._patience.start)
            return [
                Note(f"broken: {MAX_ATTEMPTS} attempts failed; watching for health"),
                Tell("broken", MAX_ATTEMPTS),
            ]
        self._attempt += 1
        rest = self._patience.rest * 3 ** (self._attempt - 1) * self._jitter()
        self._enter("resting", now, rest)
        return [Tell("healing", self._attempt)]

    def _restarted(self, event: Restarted, now: float) -> list[Command]:
        if self.phase != "resting":
            return []
        self._enter("trying", now, self._patience.start)
        return [] if event.done else self._failed("pm2 could not restart it", now)

    def _failed(self, why: str, now: float) -> list[Command]:
        return [Note(f"attempt {self._attempt} failed: {why}"), *self._next_attempt(now)]

    def _refused(self, status: Report, now: float) -> list[Command]:
        if status == "healing" and self.phase in ("resting", "trying"):
            self._attempt = 0
            self._enter("aside", now, self._patience.aside * self._jitter())
            return [Note("the cloud is at work on this sandbox itself; standing back")]
        if status == "ready" and self.phase == "well" and self._inherited == "broken":
            self._inherited = None
            return [Tell("healing", 1), Tell("ready", 1)]
        return []

    def _woke(self, now: float) -> list[Command]:
        """Forgive what failed before, and give what is waited for its whole time again."""
        self._failures = 0
        self._runner_since = now
        self._asked = False
        self._until += now - self._since
        self._since = now
        return [Note("woke from a suspension")]

    def _enter(self, phase: Phase, now: float, seconds: float) -> None:
        self.phase, self._since, self._until = phase, now, now + seconds
        self._failures = self._exits = 0
        self._asked = False
