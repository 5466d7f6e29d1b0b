"""The counts as Prometheus metrics; the only module that loads its library."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from shmastra_cloud.telemetry.counts import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from shmastra_cloud.telemetry.counts import Call, Counts, Kind, Refusal, Times

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_LIMITS = [f"{bound / 1000:g}" for bound in BOUNDS] + ["+Inf"]


@dataclass(frozen=True)
class State:
    """What a process is like at one moment; ``sandboxes`` by status is None where none belong to it."""

    connections: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)
    keys_degraded: bool = False
    rows_queued: int = 0
    rows_lost: int = 0
    database: bool = False
    notifications: bool = False
    sandboxes: Mapping[str, int] | None = None


class Exposition(Collector):
    """Formats what was counted; made on the event loop, read in any thread."""

    def __init__(self, counts: Counts, state: State) -> None:
        self._calls, self._refusals = list(counts.calls.items()), list(counts.refusals.items())
        self._first_byte, self._duration = list(counts.first_byte.items()), list(counts.duration.items())
        self._open, self._state = counts.open, state

    def text(self) -> bytes:
        """Return everything in Prometheus' text format, with what the kernel knows of this process."""
        registry = CollectorRegistry()
        registry.register(self)
        registry.register(ProcessCollector(registry=None))
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Give one family after the other."""
        yield _calls(self._calls)
        yield from _by_provider(self._calls)
        yield _tokens(self._calls)
        yield _cost(self._calls)
        yield _refused(self._refusals)
        yield _histogram(
            "shmastra_gateway_first_byte_seconds", "From the request to the answer's head.", self._first_byte
        )
        yield _histogram(
            "shmastra_gateway_duration_seconds", "From the request to the answer's end.", self._duration
        )
        yield _gauge("shmastra_gateway_calls_open", "Calls that have not ended.", self._open)
        yield from _of_the_gateway(self._state)
        yield from _of_the_cloud(self._state)


def _calls(calls: list[tuple[Call, Kind]]) -> Metric:
    found = CounterMetricFamily(
        "shmastra_gateway_calls",
        "Calls that were sent on, by how they ended.",
        labels=("provider", "purpose", "status", "ended"),
    )
    sums: dict[tuple[str, str, str, str], int] = {}
    for call, kind in calls:
        labels = (call.provider, call.purpose, f"{call.status}xx", call.ended)
        sums[labels] = sums.get(labels, 0) + kind.calls
    for labels, count in sums.items():
        found.add_metric(labels, count)
    return found


def _by_provider(calls: list[tuple[Call, Kind]]) -> Iterator[Metric]:
    providers = {call.provider: [0, 0] for call, _ in calls}
    for call, kind in calls:
        providers[call.provider][0] += kind.estimated
        providers[call.provider][1] += kind.unpriced
    for at, (name, about) in enumerate(
        (
            ("shmastra_gateway_calls_estimated", "Calls whose tokens were estimated from their bytes."),
            ("shmastra_gateway_calls_unpriced", "Calls that used tokens of a model without a price."),
        )
    ):
        found = CounterMetricFamily(name, about, labels=("provider",))
        for provider, counted in providers.items():
            found.add_metric((provider,), counted[at])
        yield found


def _tokens(calls: list[tuple[Call, Kind]]) -> Metric:
    found = CounterMetricFamily(
        "shmastra_gateway_tokens",
        "Tokens; input includes cached and cache_write, output includes reasoning.",
        labels=("provider", "model", "kind"),
    )
    sums: dict[tuple[str, str, str], int] = {}
    for call, kind in calls:
        for name in ("input", "cached", "cache_write", "output", "reasoning"):
            labels = (call.provider, call.model, name)
            sums[labels] = sums.get(labels, 0) + getattr(kind, name)
    for labels, count in sums.items():
        found.add_metric(labels, count)
    return found


def _cost(calls: list[tuple[Call, Kind]]) -> Metric:
    found = CounterMetricFamily(
        "shmastra_gateway_cost_usd",
        "What calls cost in USD, without those that have no price.",
        labels=("provider", "model", "purpose"),
    )
    sums: dict[tuple[str, str, str], float] = {}
    for call, kind in calls:
        labels = (call.provider, call.model, call.purpose)
        sums[labels] = sums.get(labels, 0.0) + kind.cost_usd
    for labels, cost in sums.items():
        found.add_metric(labels, cost)
    return found


def _refused(refusals: list[tuple[Refusal, int]]) -> Metric:
    found = CounterMetricFamily(
        "shmastra_gateway_refused",
        "Requests that were not sent on, by the gateway's own error code.",
        labels=("provider", "status", "reason"),
    )
    for refusal, count in refusals:
        found.add_metric((refusal.provider, str(refusal.status), refusal.reason), count)
    return found


def _histogram(name: str, about: str, times: list[tuple[str, Times]]) -> Metric:
    found = HistogramMetricFamily(name, about, labels=("provider",))
    for provider, one in times:
        counts = list(accumulate(one.counts))
        found.add_metric((provider,), list(zip(_LIMITS, counts, strict=True)), one.total / 1000)
    return found


def _of_the_gateway(state: State) -> Iterator[Metric]:
    yield _labelled(
        "shmastra_gateway_upstream_connections", "Connections to providers.", "state", state.connections
    )
    yield _labelled("shmastra_gateway_keys_cached", "Virtual keys remembered.", "kind", state.keys)
    yield _gauge(
        "shmastra_gateway_keys_degraded",
        "1 while each key is looked up on each use, because changes of keys may be missed.",
        state.keys_degraded,
    )
    yield _gauge("shmastra_usage_rows_queued", "Rows of usage that are not written yet.", state.rows_queued)
    yield CounterMetricFamily(
        "shmastra_usage_rows_lost",
        "Rows of usage that were given up, because too many were waiting.",
        state.rows_lost,
    )


def _of_the_cloud(state: State) -> Iterator[Metric]:
    yield _gauge("shmastra_database_up", "1 while the database answers.", state.database)
    yield _gauge(
        "shmastra_notifications_connected", "1 while changes are heard of at once.", state.notifications
    )
    if state.sandboxes is not None:
        yield _labelled("shmastra_sandboxes", "Sandboxes by status.", "status", state.sandboxes)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value)


def _labelled(name: str, about: str, label: str, values: Mapping[str, int]) -> Metric:
    found = GaugeMetricFamily(name, about, labels=(label,))
    for key, value in values.items():
        found.add_metric((key,), value)
    return found
