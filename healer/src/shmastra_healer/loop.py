"""Carries the decisions out: waits, polls, asks, restarts and reports, in one loop."""

from __future__ import annotations

import os
import queue
import time
from typing import TYPE_CHECKING, NoReturn

from shmastra_healer import pm2, port
from shmastra_healer.cloud import Message, Reporter
from shmastra_healer.decide import Decider
from shmastra_healer.errors import RestartFailed
from shmastra_healer.events import (
    AskPm2,
    Command,
    Event,
    Exited,
    Note,
    Orphaned,
    Polled,
    Refused,
    Restart,
    Restarted,
    Tell,
    Woke,
)
from shmastra_healer.exits import Clock, Exits
from shmastra_healer.health import is_healthy

if TYPE_CHECKING:
    from logging import Logger

    from shmastra_healer.events import Report
    from shmastra_healer.place import Place
    from shmastra_healer.settings import Patience

NOTHING_SAID = "The dev server did not start, and wrote nothing into .logs/shmastra.log."


class Healer:
    """Watches and repairs one sandbox's dev server."""

    def __init__(self, place: Place, patience: Patience, log: Logger) -> None:
        self._place, self._patience, self._log = place, patience, log
        self._decider = Decider(patience, time.monotonic(), place.last_report())
        self._exits = Exits(place)
        self._clock = Clock()
        self._refusals: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._reporter = Reporter(place, log.info, self._answered)
        self._parent = os.getppid()
        self._orphaned = False
        self._log_begin = 0

    def run(self) -> NoReturn:
        """Watch until this process is ended.

        Raises:
            SystemExit: another healer has taken over.
        """
        self._log.info("watching port %d", self._place.port)
        if self._place.last_report() is None:
            self._keep(None)  # takes the room while there is some
        self._exits.look()
        while True:
            self.turn()

    def turn(self) -> None:
        """Wait for an exit or the time of the next poll, and do what follows from what is seen."""
        wait = self._decider.poll_after
        self._clock.start()
        ended = self._exits.wait(wait)
        if self._clock.longest() > wait + self._patience.gap:
            self._feed(Woke())
        if ended:
            self._feed(Exited())
        while not self._refusals.empty():
            self._feed(Refused(self._refusals.get()))
        if not self._orphaned and os.getppid() != self._parent:
            self._orphaned = True
            self._feed(Orphaned())
        self._exits.look()
        self._poll()
        self._bound_log()

    def _bound_log(self) -> None:
        try:
            if self._place.bound_log():
                self._log_begin = 0
                self._log.info("cut .logs/shmastra.log, whose end is kept in shmastra.log.1")
        except OSError as problem:
            self._log.warning("cannot cut .logs/shmastra.log (%s)", problem.strerror)

    def _poll(self) -> None:
        self._clock.start()
        healthy = is_healthy(self._place.port, self._patience.answer)
        if self._clock.longest() > self._patience.answer + self._patience.gap:
            self._feed(Woke())
        else:
            self._feed(Polled(healthy, self._place.runner()))

    def _feed(self, event: Event) -> None:
        for command in self._decider.handle(event, time.monotonic()):
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Note(text):
                self._log.info("%s", text)
            case AskPm2():
                self._feed(pm2.ask(self._place))
            case Restart():
                self._feed(Restarted(self._restart()))
            case Tell():
                self._tell(command)

    def _restart(self) -> bool:
        self._log_begin = self._place.log_size()
        if self._orphaned:
            self._exits.end()
        for pid in port.free(self._place.port, None if self._orphaned else self._place.pid()):
            self._log.info("ended process %d, which held port %d unasked", pid, self._place.port)
        try:
            pm2.restart(self._place, everything=self._orphaned)
        except RestartFailed as problem:
            self._log.warning("%s", problem)
            return False
        finally:
            self._exits.renew()
        if self._orphaned:
            self._log.info("pm2 runs again, with another healer; this one ends")
            raise SystemExit(0)
        return True

    def _tell(self, command: Tell) -> None:
        error = None
        if command.status == "broken":
            error = self._place.log_tail(self._log_begin) or NOTHING_SAID
        if command.status == "healing":
            self._keep("healing")  # before it is known: the cloud may take it and its answer be lost
        self._reporter.tell(Message(command.status, command.attempt, error))

    def _answered(self, message: Message, status: int) -> None:
        """Take the cloud's answer; called by the reporter's thread."""
        if status == 409:
            self._refusals.put(message.status)
        elif status == 200:
            self._keep(message.status)

    def _keep(self, status: Report | None) -> None:
        try:
            self._place.keep_report(status)
        except OSError as problem:
            self._log.warning("cannot remember what was told (%s)", problem.strerror)
