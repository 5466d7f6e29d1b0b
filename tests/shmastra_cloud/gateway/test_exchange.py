import uuid

import pytest

from shmastra_cloud.gateway.errors import UpstreamUnusable
from shmastra_cloud.gateway.exchange import Exchange
from shmastra_cloud.gateway.providers import providers_from_env
from shmastra_cloud.gateway.routes import match, route_table

CHAT = match(route_table("openai"), b"/v1", "POST", b"/v1/chat/completions").route


async def test_a_failed_answer_costs_nothing_and_a_redirect_is_refused() -> None:
    provider = providers_from_env({"OPENAI_API_KEY": "k"})["openai"]
    exchange = Exchange(provider, uuid.uuid4(), "agent", CHAT)
    exchange.on_response(429, [(b"content-type", b"application/json")])
    exchange.chunk(b'{"usage":{"prompt_tokens":5,"completion_tokens":5}}')
    exchange.end("complete")
    row = exchange.row()
    assert (row.status, row.input_tokens, row.output_tokens) == (429, 0, 0)
    with pytest.raises(UpstreamUnusable, match="redirect"):
        exchange.on_response(307, [])


@pytest.mark.parametrize(
    ("name", "method", "path", "expected"),
    [
        ("openai", "GET", b"/v1/models", (0, 0, False)),
        ("openai", "POST", b"/v1/embeddings", (25, 0, True)),
        ("openai", "POST", b"/v1/chat/completions", (25, 250, True)),
        ("composio", "POST", b"/api/v3/tools/execute/X", (0, 0, False)),
    ],
)
async def test_tokens_are_estimated_only_where_bytes_are_text(
    name: str, method: str, path: bytes, expected: tuple[int, int, bool]
) -> None:
    provider = providers_from_env({"OPENAI_API_KEY": "k", "COMPOSIO_API_KEY": "k"})[name]
    exchange = Exchange(
        provider, uuid.uuid4(), "agent", match(provider.routes, provider.version, method, path).route
    )
    exchange.request_bytes = 100
    exchange.on_response(200, [(b"content-type", b"application/json")])
    exchange.chunk(b"x" * 1000)
    exchange.end("complete")
    row = exchange.row()
    assert (row.input_tokens, row.output_tokens, row.estimated) == expected
