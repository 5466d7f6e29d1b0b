import uuid

import pytest

from shmastra_cloud.gateway.errors import UpstreamUnusable
from shmastra_cloud.gateway.exchange import Exchange
from shmastra_cloud.gateway.providers import providers_from_env


async def test_a_failed_answer_costs_nothing_and_a_redirect_is_refused() -> None:
    provider = providers_from_env({"OPENAI_API_KEY": "k"})["openai"]
    exchange = Exchange(provider, uuid.uuid4(), "agent", spends=True)
    exchange.on_response(429, [(b"content-type", b"application/json")])
    exchange.chunk(b'{"usage":{"prompt_tokens":5,"completion_tokens":5}}')
    exchange.end("complete")
    row = exchange.row()
    assert (row.status, row.input_tokens, row.output_tokens) == (429, 0, 0)
    with pytest.raises(UpstreamUnusable, match="redirect"):
        exchange.on_response(307, [])
