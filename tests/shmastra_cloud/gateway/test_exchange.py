import json
import uuid
from decimal import Decimal

import pytest

from shmastra_cloud.gateway.asked import Asked
from shmastra_cloud.gateway.bodies import Body
from shmastra_cloud.gateway.errors import UpstreamUnusable
from shmastra_cloud.gateway.exchange import Exchange
from shmastra_cloud.gateway.prices import Prices
from shmastra_cloud.gateway.providers import providers_from_env
from shmastra_cloud.gateway.routes import match
from shmastra_cloud.gateway.tokens import Tokens

PRICES = Prices()
PROVIDERS = providers_from_env(
    {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "COMPOSIO_API_KEY": "k", "SHMASTRA_DEMO_SOCKET": "/s"}
)
JSON, SSE = b"application/json", b"text/event-stream; charset=utf-8"
CHAT = b"/v1/chat/completions"
TOLD = json.dumps({"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}).encode()


class Clock:
    """The loop's time, wound by hand."""

    def __init__(self, exchange: Exchange) -> None:
        self.now = exchange._started
        exchange._loop = self  # type: ignore[assignment]

    def time(self) -> float:
        return self.now


def exchange_of(
    path: bytes = CHAT,
    name: str = "openai",
    model: str | None = "gpt-5",
    asked: Asked | None = None,
    method: str = "POST",
) -> Exchange:
    provider = PROVIDERS[name]
    exchange = Exchange(
        provider, uuid.uuid4(), "agent", match(provider.routes, provider.version, method, path).route, PRICES
    )
    exchange.knows(Body(b"x" * 100, whole=True, model=model, asked=asked or Asked()))
    return exchange


async def test_a_failed_answer_costs_nothing_and_a_redirect_is_refused() -> None:
    exchange = exchange_of()
    exchange.on_response(429, [(b"content-type", JSON)])
    exchange.chunk(b'{"usage":{"prompt_tokens":5,"completion_tokens":5}}')
    exchange.end("complete")
    row = exchange.row()
    assert (row.status, row.input_tokens, row.output_tokens, row.cost) == (429, 0, 0, 0)
    with pytest.raises(UpstreamUnusable, match="redirect"):
        exchange.on_response(307, [])


@pytest.mark.parametrize(
    ("name", "method", "path", "expected"),
    [
        ("openai", "GET", b"/v1/models", (0, 0, False)),
        ("openai", "POST", b"/v1/embeddings", (25, 0, True)),
        ("openai", "POST", CHAT, (25, 250, True)),
        ("composio", "POST", b"/api/v3/tools/execute/X", (0, 0, False)),
    ],
)
async def test_tokens_are_estimated_only_where_bytes_are_text(
    name: str, method: str, path: bytes, expected: tuple[int, int, bool]
) -> None:
    exchange = exchange_of(path, name, method=method)
    exchange.on_response(200, [(b"content-type", JSON)])
    exchange.chunk(b"x" * 1000)
    exchange.end("complete")
    row = exchange.row()
    assert (row.input_tokens, row.output_tokens, row.estimated) == expected


@pytest.mark.parametrize(
    ("name", "model", "cost"),
    [
        ("openai", "gpt-5", "0.00225"),
        ("openai", "gpt-99", None),
        ("openai", None, None),
        ("demo", "smol", "0"),
    ],
)
async def test_a_row_says_what_the_call_cost_or_that_no_price_is_known(
    name: str, model: str | None, cost: str | None
) -> None:
    exchange = exchange_of(name=name, model=model)
    exchange.on_response(200, [(b"content-type", JSON)])
    exchange.chunk(TOLD)
    exchange.end("complete")
    row = exchange.row()
    assert (row.input_tokens, row.output_tokens, row.estimated) == (1000, 100, False)
    assert row.cost == (None if cost is None else Decimal(cost))


async def test_a_price_that_is_a_guess_makes_the_row_an_estimate() -> None:
    exchange = exchange_of(model="gpt-4", asked=Asked(tier="priority"))
    exchange.on_response(200, [(b"content-type", JSON)])
    exchange.chunk(TOLD[:-1] + b',"service_tier":"priority"}')
    exchange.end("complete")
    row = exchange.row()
    assert row.estimated
    assert row.cost


@pytest.mark.parametrize(
    ("name", "path", "model", "kind", "asked", "output"),
    [
        ("openai", CHAT, "gpt-5", SSE, Asked(), 600),  # thinks unseen from its first byte on
        ("openai", CHAT, "gpt-4o", SSE, Asked(), 0),  # would have shown it
        ("openai", CHAT, "gpt-4o", JSON, Asked(), 900),  # writes unseen from the start
        ("anthropic", b"/v1/messages", "claude-sonnet-4-5", SSE, Asked(), 0),
        ("anthropic", b"/v1/messages", "claude-sonnet-4-5", SSE, Asked(thinks=True), 600),
        ("openai", b"/v1/images/generations", "gpt-image-1", JSON, Asked(), 900),
        ("openai", b"/v1/embeddings", "text-embedding-3-small", JSON, Asked(), 0),
    ],
)
async def test_a_call_that_was_left_is_billed_for_what_it_likely_made_unseen(
    name: str, path: bytes, model: str, kind: bytes, asked: Asked, output: int
) -> None:
    exchange = exchange_of(path, name, model, asked)
    clock = Clock(exchange)
    clock.now += 5
    exchange.on_response(200, [(b"content-type", kind)])
    clock.now += 10
    exchange.end("client_gone")
    row = exchange.row()
    assert (row.input_tokens, row.output_tokens, row.estimated) == (25, output, True)
    assert row.cost == PRICES.price(name, model, row_tokens(row.input_tokens, row.output_tokens))


def row_tokens(input_tokens: int, output_tokens: int) -> Tokens:
    return Tokens(input_tokens, output=output_tokens)


async def test_a_call_that_was_left_before_any_answer_is_bounded_by_what_the_model_can_say() -> None:
    exchange = exchange_of(model="gpt-4o")
    exchange.ended = "client_gone"
    clock = Clock(exchange)
    clock.now += 5
    assert exchange.row(499).output_tokens == 300
    clock.now += 100_000
    assert exchange.row(499).output_tokens == 16_384
    exchange.ended = "upstream_error"
    assert (exchange.row(504).cost, exchange.row(504).input_tokens) == (0, 0)


async def test_searches_of_the_web_are_billed() -> None:
    exchange = exchange_of(b"/v1/responses", asked=Asked(searches=True))
    exchange.on_response(200, [(b"content-type", JSON)])
    exchange.chunk(b'{"output":[{"id":"ws_0123456789","type":"web_search_call"}],' + TOLD[1:])
    exchange.end("complete")
    row = exchange.row()
    assert (row.cost, row.estimated) == (Decimal("0.01225"), True)
