"""What a call costs in USD: by ``genai-prices``, by the admin's own table, by rule for the demo model.

The tables are the ones bundled in the installed package; its updater, which would ask the network, is never
started. Models are matched by the package's own rules, per provider. It knows text, audio, image and video
tokens, cache reads and writes, tiers by the length of the prompt, service tiers, and what is billed by
characters, seconds or searches. Plain text is priced by rates compiled once per model, the rest by the
package.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

from genai_prices.data import providers
from genai_prices.data_units import unit_data
from genai_prices.types import ModelPrice, TieredPrices, Usage

from shmastra_cloud.gateway import model_limits
from shmastra_cloud.gateway.own_prices import OwnPrices

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

    from shmastra_cloud.gateway.tokens import Tokens

FREE = Decimal(0)
MAX_COST = Decimal("999999.99999999")  # what numeric(14,8) holds
_PLACES = Decimal("0.00000001")
_MILLION = Decimal(1_000_000)
_OURS = "demo"
# The gateway's names of providers that the tables know under another one.
_IDS = {"gemini": "google", "xai": "x-ai", "grok": "x-ai", "moonshot": "moonshotai", "bedrock": "aws"}
_IDS |= {"together-ai": "together", "fireworks-ai": "fireworks", "azure-openai": "azure"}
_INPUT = ("input_mtok", "cache_write_mtok", "cache_write_5m_mtok", "cache_write_1h_mtok")
_OUTPUT = (
    "output_mtok",
    "output_reasoning_mtok",
    "output_audio_mtok",
    "output_image_mtok",
    "output_video_mtok",
)
_PRICE_KEYS = {unit: str(told["price_key"]) for unit, told in unit_data.items()}
# Where a model lacks a price of their own, these are not simply text, or not free.
_DEAR = frozenset(
    {"input_audio_tokens", "output_audio_tokens", "web_searches", "storage_searches", "code_executions"}
)
_STANDARD = frozenset({None, "auto", "default", "standard"})
_BYTES_PER_TOKEN = 4
_SLOWEST_BYTES_PER_SECOND = 1000  # 8 kbit/s: speech is hardly ever packed tighter
_GROQ_SECONDS = 10  # of each recording, as the package has it too
_CACHED_MODELS = 1024
_FRESH_SECONDS = 60  # some prices change with the day or the hour


class Cost(NamedTuple):
    """What a call costs in USD, None where no price is known; not ``exact`` where a part of it is a guess."""

    usd: Decimal | None
    exact: bool = True


class _Rates(NamedTuple):
    """USD for one token of plain text, where the prompt is longer than ``above`` tokens."""

    above: int
    input: Decimal
    cached: Decimal
    cache_write: Decimal
    output: Decimal
    reasoning: Decimal
    dearest_input: Decimal
    dearest_output: Decimal


class _Compiled(NamedTuple):
    """A model's price, good until ``until`` (``time.time()``); the rates of the longest prompts come first.

    ``exact`` says that the service tier has a price of its own, ``simple`` that a call of text costs what its
    tokens cost; a recording is billed for ``least_seconds`` at least.
    """

    until: float
    rates: tuple[_Rates, ...]
    prices: ModelPrice
    keys: frozenset[str]
    exact: bool
    simple: bool
    least_seconds: int = 0


_MISSING = _Compiled(0.0, (), ModelPrice(), frozenset(), exact=False, simple=False)


class Prices:
    """Prices calls; pure but for the clock, and quick enough to be asked for every call."""

    def __init__(self, own: OwnPrices | None = None) -> None:
        self._own = own or OwnPrices()
        self._compiled: dict[tuple[str, str | None, str | None], _Compiled | None] = {}
        # Not asked through the package's own lookup, which remembers every name that it was ever asked for.
        self._tables = {table.id: table for table in providers}

    def price(self, provider: str, model: str | None, tokens: Tokens) -> Decimal | None:
        """Return what a call cost, rounded to 8 places; None: no price is known."""
        return self.cost(provider, model, tokens).usd

    def cost(self, provider: str, model: str | None, tokens: Tokens) -> Cost:
        """Return what a call cost, and whether that is exact as far as the counts are."""
        price = self._find(provider, model, tokens.tier)
        if price is None:
            return Cost(None)
        if tokens.more or not price.simple:
            return _by_the_package(price, tokens)
        return Cost(_rounded(_plain(price, tokens)), price.exact)

    def estimate_upper(
        self, provider: str, model: str | None, input_tokens: int, output_limit: int, tier: str | None = None
    ) -> Decimal | None:
        """Return the most that a call of this size should cost, rounded up; None: no price is known.

        Input is taken as written to a cache where that costs more, output as the dearest kind that the model
        makes. Searches and other tools that a provider runs by itself are not in it.
        """
        price = self._find(provider, model, tier)
        if price is None:
            return None
        total = _other_units(price.prices, input_tokens)
        if price.rates:
            rates = _at(price.rates, input_tokens)
            total += rates.dearest_input * input_tokens + rates.dearest_output * output_limit
        return min(total.quantize(_PLACES, ROUND_UP), MAX_COST)

    def output_limit(self, provider: str, model: str | None) -> int:
        """Return how many tokens a model can say in one answer; rather too many than too few."""
        own = self._own.find(provider, model)
        return (
            model_limits.output_limit(model) if own is None or own.output_limit is None else own.output_limit
        )

    def hides_output(self, provider: str, model: str | None) -> bool:
        """Whether a model may produce billed output that its stream doesn't show while it is produced."""
        return provider != _OURS and model_limits.hides_output(model)

    def _find(self, provider: str, model: str | None, tier: str | None) -> _Compiled | None:
        key = provider, model, tier
        found = self._compiled.get(key, _MISSING)
        if found is None:
            return None
        if found.until <= time.time():
            found = self._compile(provider, model, None if tier in _STANDARD else tier)
            if len(self._compiled) >= _CACHED_MODELS:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[key] = found
        return found

    def _compile(self, provider: str, model: str | None, tier: str | None) -> _Compiled | None:
        now = time.time()
        until = (now // _FRESH_SECONDS + 1) * _FRESH_SECONDS
        own = self._own.find(provider, model)
        if own is not None:
            return _compiled(own.prices, until, exact=tier is None)
        if provider == _OURS:
            return _compiled(ModelPrice(input_mtok=FREE, output_mtok=FREE), until, exact=True)
        table = self._tables.get(_IDS.get(provider, provider))
        return None if table is None or not model else _of_table(table, model, tier, now, until)


def _of_table(table: Provider, model: str, tier: str | None, now: float, until: float) -> _Compiled | None:
    info = table.find_model(model, all_providers=providers)
    if info is None:
        return None
    serves = tier is None or _serves(table, info, tier)
    # OpenAI and Google say `service_tier`, Anthropic says `speed`.
    context = {"service_tier": tier, "speed": tier} if tier is not None and serves else None
    prices = info.get_prices(datetime.fromtimestamp(now, UTC), context)
    if not any(value is not None for value in prices.__dict__.values()):
        if not info.id.endswith(":free"):
            return None
        prices = ModelPrice(input_mtok=FREE, output_mtok=FREE)
    least = _GROQ_SECONDS if table.id == "groq" else 0
    return _compiled(prices, until, exact=serves, least_seconds=least)


def _serves(table: Provider, info: ModelInfo, tier: str) -> bool:
    """Whether a provider has a price for a tier; the maker of a model that it resells does not tell that."""
    own = any(info is each for each in table.models)
    return own and any(tier in variant.when.values() for variant in info.price_variants or ())


def _compiled(prices: ModelPrice, until: float, *, exact: bool, least_seconds: int = 0) -> _Compiled:
    priced = {key: value for key, value in prices.__dict__.items() if value is not None}
    rates: tuple[_Rates, ...] = ()
    if "input_mtok" in priced or "output_mtok" in priced:
        starts = {0} | {
            step.start for value in priced.values() if isinstance(value, TieredPrices) for step in value.tiers
        }
        rates = tuple(_rates(priced, start) for start in sorted(starts, reverse=True))
    simple = bool(rates) and "requests_kcount" not in priced
    return _Compiled(until, rates, prices, frozenset(priced), exact, simple, least_seconds)


def _rates(priced: dict[str, Decimal | TieredPrices], above: int) -> _Rates:
    def rate(key: str, other: Decimal = FREE) -> Decimal:
        value = priced.get(key)
        return other if value is None else _step(value, above) / _MILLION

    plain, output = rate("input_mtok"), rate("output_mtok")
    return _Rates(
        above=above,
        input=plain,
        cached=rate("cache_read_mtok", plain),
        cache_write=rate("cache_write_mtok", plain),
        output=output,
        reasoning=rate("output_reasoning_mtok", output),
        dearest_input=max(rate(key) for key in _INPUT),
        dearest_output=max(rate(key) for key in _OUTPUT),
    )


def _step(price: Decimal | TieredPrices, above: int) -> Decimal:
    if not isinstance(price, TieredPrices):
        return price
    return next((step.price for step in reversed(price.tiers) if step.start <= above), price.base)


def _at(rates: tuple[_Rates, ...], prompt: int) -> _Rates:
    """Return the rates of a prompt's length: the package takes a tier for prompts longer than its start."""
    for each in rates:
        if prompt > each.above:
            return each
    return rates[-1]


def _plain(price: _Compiled, tokens: Tokens) -> Decimal:
    """Price text alone; parts are held to their wholes, whatever a provider says."""
    rates = price.rates[0] if len(price.rates) == 1 else _at(price.rates, tokens.input)
    cached = min(tokens.cached, tokens.input)
    written = min(tokens.cache_write, tokens.input - cached)
    reasoning = min(tokens.reasoning, tokens.output)
    total = rates.input * (tokens.input - cached - written) + rates.output * (tokens.output - reasoning)
    if reasoning:
        total += rates.reasoning * reasoning
    if cached:
        total += rates.cached * cached
    if written:
        total += rates.cache_write * written
    return total


def _by_the_package(price: _Compiled, tokens: Tokens) -> Cost:
    """Price what has units of its own; a model that has no price in any unit used has none at all."""
    used: dict[str, float] = {
        "input_tokens": tokens.input,
        "cache_read_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "output_tokens": tokens.output,
        "output_reasoning_tokens": tokens.reasoning,
        **tokens.more,
    }
    if not price.rates and not any(used[unit] and _PRICE_KEYS[unit] in price.keys for unit in used):
        return Cost(None)
    exact = price.exact and not any(
        unit in _DEAR and used[unit] and _PRICE_KEYS[unit] not in price.keys for unit in tokens.more
    )
    if price.least_seconds and tokens.more.get("audio_seconds"):
        used["audio_seconds"] = max(used["audio_seconds"], price.least_seconds)
    try:
        total: Decimal = price.prices.calc_price(Usage(**used))["total_price"]
    except ValueError:  # parts that exceed their wholes
        return Cost(_rounded(_plain(price, tokens)), exact=False) if price.rates else Cost(None)
    return Cost(_rounded(total), exact=exact)


def _other_units(prices: ModelPrice, input_tokens: int) -> Decimal:
    """Return the most that a request of this size costs in what is not counted in tokens."""
    size = Decimal(input_tokens * _BYTES_PER_TOKEN)
    hours = size / _SLOWEST_BYTES_PER_SECOND / 3600
    return (
        _flat(prices, "requests_kcount") / 1000
        + _flat(prices, "input_mchars") * size / _MILLION
        + _flat(prices, "audio_hours") * hours
    )


def _flat(prices: ModelPrice, key: str) -> Decimal:
    value = prices.__dict__.get(key)
    return value if isinstance(value, Decimal) else FREE


def _rounded(total: Decimal) -> Decimal:
    return min(total.quantize(_PLACES, ROUND_HALF_EVEN), MAX_COST)
