"""What the gateway did, counted in plain numbers; formatted only when somebody asks.

Every label is bounded: providers are those of the configuration, reasons are the gateway's own error codes,
and a model counts under its name only once a provider has answered for it, the first hundred of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shmastra_cloud.gateway import GatewayError, UsageRow

MODELS = 100
QUICK = 4096
OTHER = "other"
NO_MODEL = "none"
# Upper bounds in milliseconds: a refusal in one, a long reasoning answer in minutes.
BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000)
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@~-]{0,99}")


class Call(NamedTuple):
    """What calls are told apart by; ``status`` is the hundreds of the HTTP status."""

    provider: str
    model: str
    purpose: str
    status: int
    ended: str


class Times:
    """A histogram of milliseconds; ``counts`` holds those up to each bound, the last those beyond all."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0

    def add(self, milliseconds: int) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, milliseconds)] += 1
        self.total += milliseconds


class Kind:
    """What calls of one kind came to; tokens as in a usage row, times by provider."""

    __slots__ = (
        "cache_write",
        "cached",
        "calls",
        "cost_usd",
        "duration",
        "estimated",
        "first_byte",
        "input",
        "output",
        "reasoning",
        "unpriced",
    )

    def __init__(self, first_byte: Times, duration: Times) -> None:
        self.first_byte, self.duration = first_byte, duration
        self.calls = self.estimated = self.unpriced = 0
        self.input = self.cached = self.cache_write = self.output = self.reasoning = 0
        self.cost_usd = 0.0

    def add(self, row: UsageRow) -> None:
        """Count one."""
        self.calls += 1
        if row.estimated:
            self.estimated += 1
        spent = row.input_tokens
        if spent or row.output_tokens:
            self.input += spent
            self.cached += row.cached_tokens
            self.output += row.output_tokens
            self.reasoning += row.reasoning_tokens
            self.cache_write += row.cache_write_tokens
            cost = row.cost
            if cost is None:
                self.unpriced += 1
            else:
                self.cost_usd += float(cost)
        milliseconds = row.ttfb_ms
        if milliseconds is not None:
            self.first_byte.add(milliseconds)
        self.duration.add(row.duration_ms)


class Refusal(NamedTuple):
    """What refused requests are told apart by."""

    provider: str
    status: int
    reason: str


class Counts:
    """A usage sink that counts; everything it holds is bounded by its labels."""

    def __init__(self, models: int = MODELS) -> None:
        self._room = models
        self._named: set[tuple[str, str]] = set()
        self._quick: dict[tuple[str, str | None, str, int, str], Kind] = {}
        self.calls: dict[Call, Kind] = {}
        self.refusals: dict[Refusal, int] = {}
        self.first_byte: dict[str, Times] = {}
        self.duration: dict[str, Times] = {}
        self.open = 0

    def record(self, row: UsageRow) -> None:
        """Count a call that was relayed."""
        kind = self._quick.get((row.provider, row.model, row.purpose, row.status, row.ended))
        (kind or self._kind(row)).add(row)

    def refused(self, provider: str | None, error: GatewayError) -> None:
        """Count a request that was not sent on."""
        kind = Refusal(provider or "none", error.status, error.code)
        self.refusals[kind] = self.refusals.get(kind, 0) + 1

    def _kind(self, row: UsageRow) -> Kind:
        label = self._label(row)
        call = Call(row.provider, label, row.purpose, row.status // 100, row.ended)
        kind = self.calls.get(call)
        if kind is None:
            first_byte = self.first_byte.setdefault(row.provider, Times())
            duration = self.duration.setdefault(row.provider, Times())
            kind = self.calls[call] = Kind(first_byte, duration)
        if label != OTHER and len(self._quick) < QUICK:  # else others would choose how much is remembered
            self._quick[row.provider, row.model, row.purpose, row.status, row.ended] = kind
        return kind

    def _label(self, row: UsageRow) -> str:
        """Return a model's label; a name that nobody has answered for is any client's to choose."""
        if row.model is None:
            return NO_MODEL
        if (row.provider, row.model) not in self._named:
            if len(self._named) >= self._room or row.status >= 400 or not _MODEL.fullmatch(row.model):
                return OTHER
            self._named.add((row.provider, row.model))
        return row.model
