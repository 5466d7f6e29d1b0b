"""The gateway beside its peers: ``python -m benchmarks.gateway [--rounds N] [--only PEER...]``."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
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
from benchmarks.peers import FAST, SLOW, Serve, versions
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


def main() -> None:
    """Run them all and write ``benchmarks/results/gateway.*``."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--seconds", type=int, default=FULL.seconds)
    asked.add_argument(
        "--only", nargs="*", choices=[*FAST, *SLOW], help="these peers (all); nginx is always there"
    )
    options = asked.parse_args()
    chosen = set(options.only if options.only is not None else [*FAST, *SLOW]) | {"nginx"}
    full, brief = replace(FULL, seconds=options.seconds), BRIEF
    prepare()
    rows: list[dict[str, Any]] = []
    with stage() as here:
        for upstream, certificates in (("plain", None), ("tls", here.certificates)):
            samples = Samples()
            _plain_answers(samples, here, certificates, chosen, options.rounds, full, brief)
            _streams(samples, here, certificates, chosen, options.rounds, full, brief)
            rows += _figures(samples, upstream, [NAME, *(name for name in [*FAST, *SLOW] if name in chosen)])
        rows += two_processes(here, options.seconds)
    write("gateway", rows, {"peers": versions(), "rounds": options.rounds, "seconds": options.seconds})


def _plain_answers(  # noqa: PLR0913, PLR0917 -- what is run, and how much of it
    samples: Samples,
    here: Stage,
    certificates: Certificates | None,
    chosen: set[str],
    rounds: int,
    full: Amount,
    brief: Amount,
) -> None:
    with quick(here.folder, certificates) as provider:
        bare = direct(provider)
        with _fast(samples, here, provider, chosen) as servers:
            for server in servers:
                _warm(server, here)
            for _ in range(rounds):
                for server in servers:
                    _say(server, "requests", provider)
                    whole_requests(samples, server, full, here.folder)
                    latency(samples, server, bare, full)
        with contextlib.closing(_slow(samples, here, provider, chosen)) as slow:
            for server in slow:
                _say(server, "requests", provider)
                _warm(server, here)
                whole_requests(samples, server, brief, here.folder)
                latency(samples, server, bare, brief)


def _streams(  # noqa: PLR0913, PLR0917 -- what is run, and how much of it
    samples: Samples,
    here: Stage,
    certificates: Certificates | None,
    chosen: set[str],
    rounds: int,
    full: Amount,
    brief: Amount,
) -> None:
    with paced(here.folder, certificates) as provider:
        with _fast(samples, here, provider, chosen) as servers:
            for server in servers:
                _say(server, "memory of streams", provider)
                slow_streams(samples, server, full)
                leaving(samples, server, full, provider.log)
            for _ in range(rounds):
                for server in servers:
                    _say(server, "events", provider)
                    per_event(samples, server, full)
        with contextlib.closing(_slow(samples, here, provider, chosen)) as slow:
            for server in slow:
                _say(server, "streams", provider)
                slow_streams(samples, server, brief)
                leaving(samples, server, brief, provider.log)
                per_event(samples, server, brief)


@contextlib.contextmanager
def _fast(samples: Samples, here: Stage, provider: Provider, chosen: set[str]) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(gateway(here, provider))]
        for name in FAST:
            if name in chosen:
                servers += _entered(stack, samples, name, FAST[name], here, provider)
        yield servers


def _slow(samples: Samples, here: Stage, provider: Provider, chosen: set[str]) -> Generator[Server]:
    """Give one after the other, for each would disturb the next even when idle."""
    for name in SLOW:
        with contextlib.ExitStack() as stack:
            if name in chosen:
                yield from _entered(stack, samples, name, SLOW[name], here, provider)


def _entered(  # noqa: PLR0913, PLR0917 -- what a peer is started with
    stack: contextlib.ExitStack, samples: Samples, name: str, serve: Serve, here: Stage, provider: Provider
) -> list[Server]:
    try:
        return [stack.enter_context(serve(here, provider))]
    except NotThereError as error:
        print(f"{name} is not there: {error}", file=sys.stderr, flush=True)
        for measure in MEASURES:
            samples.notes[name, measure] = f"not there: {error}"[:300]
        return []


def _warm(server: Server, here: Stage) -> None:
    """Have it know its keys, and its code be warm."""
    requests(server, here.folder, connections=CONNECTIONS, seconds=2)


def _figures(samples: Samples, upstream: str, names: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        for measure, (what, unit) in MEASURES.items():
            value, note = samples.median(name, measure), samples.notes.get((name, measure), "")
            if value is not None or note:
                rows.append(_row(name, upstream, measure, what, value, unit, note))
            theirs = samples.median("nginx", measure)
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
