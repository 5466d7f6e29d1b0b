"""The gateway beside its peers: ``python -m benchmarks.gateway [--rounds N] [--only PEER...]``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.certificates import Certificates
from benchmarks.load import requests
from benchmarks.machine import NotThereError, prepare
from benchmarks.measures import (
    BRIEF,
    CONNECTIONS,
    FULL,
    MEASURES,
    Amount,
    Samples,
    latency,
    leaving,
    per_event,
    slow_streams,
    whole_requests,
)
from benchmarks.peers import FAST, SLOW, nginx, versions
from benchmarks.provider import Provider, paced, quick
from benchmarks.results import figure, write
from benchmarks.scaling import two_processes
from benchmarks.stage import NAME, Server, Stage, direct, gateway, stage

TARGETS = {
    "cpu_request": "<= 70",
    "rate_of_nginx": ">= 0.5",
    "cpu_event_of_nginx": "<= 1.5",
    "added_p50": "<= 0.3",
    "memory_streams": "<= 90",
    "close_p50": "<= 50",
}
_OF_NGINX = {"rate": "requests per second as a part of nginx's", "cpu_event": "CPU per event beside nginx's"}


@dataclass(frozen=True)
class Plan:
    """Where and how much is measured."""

    here: Stage
    peers: set[str]
    rounds: int
    full: Amount
    brief: Amount = BRIEF

    @property
    def names(self) -> list[str]:
        """The servers in the order of the report."""
        return [NAME, *(name for name in [*FAST, *SLOW] if name in self.peers)]


def main() -> None:
    """Run them all and write ``benchmarks/results/gateway.*``."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=int, default=FULL.seconds)
    asked.add_argument("--only", nargs="*", choices=[*FAST, *SLOW], help="these peers, and always nginx")
    options = asked.parse_args()
    peers = {nginx.NAME, *(options.only if options.only is not None else [*FAST, *SLOW])}
    prepare()
    rows: list[dict[str, Any]] = []
    about = {"peers": versions(), "rounds": options.rounds, "seconds": options.seconds}
    with stage() as here:
        plan = Plan(here, peers, options.rounds, replace(FULL, seconds=options.seconds))
        for upstream, certificates in (("plain", None), ("tls", here.certificates)):
            samples = Samples()
            _plain_answers(samples, plan, certificates)
            _streams(samples, plan, certificates)
            rows += _figures(samples, upstream, plan.names)
            write("gateway", rows, about)  # what comes after this may fail
        rows += two_processes(here, options.seconds)
    write("gateway", rows, about)


def _plain_answers(samples: Samples, plan: Plan, certificates: Certificates | None) -> None:
    folder = plan.here.folder
    with quick(folder, certificates) as provider:
        bare = direct(provider)
        with _fast(samples, plan, provider) as servers:
            for server in servers:
                _warm(server, plan)
            for _ in range(plan.rounds):
                for server in servers:
                    _say(server, "requests", provider)
                    whole_requests(samples, server, plan.full, folder)
                    latency(samples, server, bare, plan.full)
        with contextlib.closing(_slow(samples, plan, provider)) as slow:
            for server in slow:
                _say(server, "requests", provider)
                _warm(server, plan)
                whole_requests(samples, server, plan.brief, folder)
                latency(samples, server, bare, plan.brief)


def _streams(samples: Samples, plan: Plan, certificates: Certificates | None) -> None:
    with paced(plan.here.folder, certificates) as provider:
        with _fast(samples, plan, provider) as servers:
            for server in servers:
                _say(server, "open streams", provider)
                slow_streams(samples, server, plan.full)
                leaving(samples, server, plan.full, log=provider.log)
            for _ in range(plan.rounds):
                for server in servers:
                    _say(server, "events", provider)
                    per_event(samples, server, plan.full)
        # Each in a process of its own, for one that does not close what its clients left goes on with it.
        for measure in (slow_streams, per_event, partial(leaving, log=provider.log)):
            with contextlib.closing(_slow(samples, plan, provider)) as slow:
                for server in slow:
                    _say(server, "streams", provider)
                    measure(samples, server, plan.brief)


@contextlib.contextmanager
def _fast(samples: Samples, plan: Plan, provider: Provider) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(gateway(plan.here, provider))]
        for name in FAST:
            if name in plan.peers:
                servers += _entered(stack, samples, name, plan.here, provider)
        yield servers


def _slow(samples: Samples, plan: Plan, provider: Provider) -> Generator[Server]:
    """Give one after the other, for each would disturb the next even when idle."""
    for name in SLOW:
        with contextlib.ExitStack() as stack:
            if name in plan.peers:
                yield from _entered(stack, samples, name, plan.here, provider)


def _entered(
    stack: contextlib.ExitStack, samples: Samples, name: str, here: Stage, provider: Provider
) -> list[Server]:
    """Start a peer; one that is not there is named with the reason in all its figures."""
    try:
        return [stack.enter_context((FAST | SLOW)[name](here, provider))]
    except NotThereError as error:
        print(f"{name} is not there: {error}", file=sys.stderr, flush=True)
        for measure in MEASURES:
            samples.notes[name, measure] = f"not there: {error}"[:300]
        return []


def _warm(server: Server, plan: Plan) -> None:
    """Have it know its keys, and its code be warm."""
    requests(server, plan.here.folder, connections=CONNECTIONS, seconds=2)


def _figures(samples: Samples, upstream: str, names: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        for measure, (what, unit) in MEASURES.items():
            value, note = samples.median(name, measure), samples.notes.get((name, measure), "")
            if value is not None or note:
                rows.append(_row(name, upstream, measure, what, value, unit, note))
            theirs = samples.median(nginx.NAME, measure)
            if measure in _OF_NGINX and value is not None and theirs:
                ratio = value / theirs
                rows.append(_row(name, upstream, f"{measure}_of_nginx", _OF_NGINX[measure], ratio, "x"))
    return rows


def _row(  # noqa: PLR0913, PLR0917 -- the columns of a figure
    name: str, upstream: str, measure: str, what: str, value: float | None, unit: str, note: str = ""
) -> dict[str, Any]:
    target = TARGETS.get(measure, "") if name == NAME else ""
    more = {"peer": name, "upstream": upstream, "measure": measure, "note": note}
    return figure(f"{name}, {upstream}: {what}", value, unit, target, **more)


def _say(server: Server, what: str, provider: Provider) -> None:
    kind = "TLS" if provider.tls else "plain"
    now = time.strftime("%H:%M:%S")
    print(f"{now} {what} of {server.name}, provider {kind}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
