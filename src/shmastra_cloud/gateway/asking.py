"""What a call may cost, before it is sent on: by its input, its output limit, and whether that is seen."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from shmastra_cloud.gateway.budget import Ask, units
from shmastra_cloud.gateway.errors import PriceUnknown
from shmastra_cloud.gateway.estimates import BYTES_PER_TOKEN, UPPER_BYTES_PER_TOKEN, estimate_input
from shmastra_cloud.gateway.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway.bodies import Body
    from shmastra_cloud.gateway.prices import Prices
    from shmastra_cloud.gateway.providers import Provider
    from shmastra_cloud.gateway.routes import Matched

STEP_TOKENS = 1000
FIRST_TOKENS = 16
FRAME_TOKENS = 8
MAX_OUTPUT_TOKENS = 10_000_000
MAX_CHOICES = 128
SEARCHES = 4
LONGEST_UPLOAD = 25 * 1024 * 1024  # the longest recording that OpenAI takes
_MANY = 1_000_000
_FRESH_SECONDS = 60
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample")
_CHOICES = ("n",)
_GOOGLE_CHOICES = ("candidateCount", "candidate_count")
_GOOGLE_CONFIG = ("generationConfig", "generation_config")
_GOOGLE_LIMITS = ("maxOutputTokens", "max_output_tokens")


class Outlook(NamedTuple):
    """What a request says of its answers: streamed or not, each of ``limit`` tokens (None: the model's)."""

    streamed: bool = False
    limit: int | None = None
    choices: int = 1


class Estimate(NamedTuple):
    """What a call may cost: ``base`` units by its input, ``rate`` units for each token of its output.

    ``visible`` says that its output is seen as it comes, so that it can be ended when its money is used up.
    """

    ask: Ask
    base: int = 0
    rate: float = 0.0
    visible: bool = False

    def cost(self, output_tokens: int) -> int:
        """Return what a call has cost that has shown so much."""
        return self.base + math.ceil(output_tokens * self.rate)


def outlook(asked: Mapping[str, Any], rest: bytes) -> Outlook:
    """Read a request's JSON body and the path below its version; of several limits, the largest counts."""
    streamed = b":stream" in rest
    limit = _largest(asked, _LIMITS, MAX_OUTPUT_TOKENS)
    choices = _largest(asked, _CHOICES, MAX_CHOICES)
    for name in _GOOGLE_CONFIG:
        config = asked.get(name)
        if isinstance(config, dict):
            limit = max(limit, _largest(config, _GOOGLE_LIMITS, MAX_OUTPUT_TOKENS))
            choices = max(choices, _largest(config, _GOOGLE_CHOICES, MAX_CHOICES))
    return Outlook(streamed or asked.get("stream") is True, limit or None, choices or 1)


def _largest(asked: Mapping[str, Any], names: tuple[str, ...], most: int) -> int:
    found = 0
    for name in names:
        value = asked.get(name)
        if value is not None and type(value) is int and value > found:
            found = min(value, most)
    return found


def estimate(prices: Prices, provider: Provider, matched: Matched, model: str | None, body: Body) -> Estimate:
    """Estimate a call that spends.

    Raises:
        PriceUnknown: the model has no price.

    """
    route, asked = matched.route, body.asked
    told = outlook(body.fields, matched.rest)
    tokens = _input(body)
    limit = (told.limit or prices.output_limit(provider.name, model)) * told.choices
    rates = priced(prices, provider.name, model, asked.tier, tokens)
    base = rates.base + (_searches(prices, provider.name, model) if asked.searches else 0)
    most = base + math.ceil(limit * rates.output)
    thinks = asked.thinks or provider.style != "anthropic"
    hidden = thinks and prices.hides_output(provider.name, model)
    visible = told.streamed and route.prose and not hidden
    if not visible:
        return Estimate(Ask(most, most, 0, tokens, told.streamed), base, rates.output)
    step = math.ceil(STEP_TOKENS * rates.output)
    start = min(most, base + step)
    least = min(start, base + math.ceil(FIRST_TOKENS * rates.output))
    return Estimate(Ask(start, least, step, tokens, streams=True), base, rates.output, visible=True)


def unpriced(matched: Matched, body: Body) -> Estimate:
    """Return what a call asks for whose cost no budget limits."""
    told = outlook(body.fields, matched.rest)
    return Estimate(Ask(0, 0, 0, _input(body), told.streamed))


def _input(body: Body) -> int:
    """Return how many tokens a request likely is, rather too many than too few."""
    if not body.fields:
        return (len(body.data) if body.whole else LONGEST_UPLOAD) // BYTES_PER_TOKEN
    return estimate_input(body.data) * BYTES_PER_TOKEN // UPPER_BYTES_PER_TOKEN + FRAME_TOKENS


class Rates(NamedTuple):
    """Units for an input, and for each token of the output."""

    base: int
    output: float


def priced(prices: Prices, provider: str, model: str | None, tier: str | None, tokens: int) -> Rates:
    """Price an input, rounded up by 3 % at most so that few need to be worked out, and anew every minute.

    Raises:
        PriceUnknown: the model has no price.

    """
    coarse = max(0, tokens.bit_length() - 6)
    tokens = ((tokens >> coarse) + 1) << coarse
    found = _worked_out(prices, provider, model, tier, tokens, int(time.time() // _FRESH_SECONDS))
    if found is None:
        raise PriceUnknown(
            f"{model or 'This model'} has no known price, so no budget can hold what it costs, and a budget"
            " applies to you. Use another model, or ask an admin to set its price in SHMASTRA_PRICES."
        )
    return found


@lru_cache(maxsize=4096)
def _worked_out(
    prices: Prices, provider: str, model: str | None, tier: str | None, tokens: int, _minute: int
) -> Rates | None:
    base = prices.estimate_upper(provider, model, tokens, 0, tier)
    long = prices.estimate_upper(provider, model, tokens, _MANY, tier)
    if base is None or long is None:
        return None
    return Rates(units(base), units(long - base) / _MANY)


def _searches(prices: Prices, provider: str, model: str | None) -> int:
    cost = prices.price(provider, model, Tokens(more={"web_searches": SEARCHES}))
    return 0 if cost is None else units(cost)
