"""Spans of calls through the real gateway, as a receiver of OTLP sees them."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.doubles.llm_provider import REAL_KEY, TEXT, Provider
from tests.doubles.otlp_receiver import Received, plain, receiver
from tests.shmastra_cloud.gateway.test_app import KEY, USER, Keys, Rows
from tests.shmastra_cloud.telemetry.rows import row
from tests.shmastra_cloud.workspaces.test_relay import serving

from shmastra_cloud.gateway import Gateway, KeyCache, providers_from_env
from shmastra_cloud.settings import load_settings
from shmastra_cloud.telemetry import Telemetry
from shmastra_cloud.telemetry.spans import Spans, _OncePerMinute

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ASK = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "my secret question"}]}


@asynccontextmanager
async def world(collector: str, monkeypatch: pytest.MonkeyPatch, **environ: str) -> AsyncIterator[Any]:
    """Give a client of a gateway that makes spans, and the provider behind it."""
    provider = Provider()
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with serving(provider) as there:
        variables = {"OPENAI_BASE_URL": f"{there}/v1", "OPENAI_API_KEY": REAL_KEY}
        providers = providers_from_env(variables)
        telemetry = Telemetry(
            load_settings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, **environ}, providers
        )
        gateway = Gateway(providers, KeyCache(Keys()), telemetry.sink(Rows()), lambda _user: None)
        async with (
            serving(telemetry.around(gateway)) as url,
            httpx.AsyncClient(base_url=f"{url}/api/gateway", headers={"x-api-key": KEY}) as client,
        ):
            client.headers["authorization"] = f"Bearer {KEY}"
            yield client, provider, there
        await gateway.aclose()
        await telemetry.aclose()


async def spans(received: Received, count: int = 1) -> list[Any]:
    return await asyncio.to_thread(received.wait, count)


async def test_a_call_is_one_client_span_in_the_trace_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time_ns()
    with receiver() as received:
        async with world(received.url, monkeypatch) as (client, provider, there):
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-shmastra-purpose": "healer"}
            answer = await client.post(
                "/openai/v1/chat/completions", json={**ASK, "stream": True}, headers=headers
            )
            assert answer.status_code == 200
        (span,) = await spans(received)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert (span.name, span.kind) == ("chat gpt-5-mini", Span.SPAN_KIND_CLIENT)
    assert before < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns()
    found = plain(span.attributes)
    assert found["gen_ai.response.id"]
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.usage.input_tokens"] > 0
    assert found["gen_ai.usage.output_tokens"] > 0
    assert f"http://{found['server.address']}:{found['server.port']}" == there
    assert (found["shmastra.user.id"], found["shmastra.purpose"]) == (str(USER), "healer")
    assert received.resource["service.name"] == "shmastra-cloud"
    everything = str(received.requests)
    for secret in (KEY, REAL_KEY, "my secret question", TEXT):
        assert secret not in everything
    assert not {"traceparent", "tracestate"} & set(provider.asked[0]["headers"])


async def test_what_was_said_is_recorded_only_where_that_is_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switched_on = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
    with receiver() as received:
        async with world(received.url, monkeypatch, **switched_on) as (client, _, _):
            for stream in (False, True):
                await client.post("/openai/v1/chat/completions", json={**ASK, "stream": stream})
        for span in await spans(received, 2):
            found = plain(span.attributes)
            said = [{"role": "user", "parts": [{"type": "text", "content": "my secret question"}]}]
            assert json.loads(found["gen_ai.input.messages"]) == said
            assert json.loads(found["gen_ai.output.messages"])[0]["parts"][0]["content"] == TEXT


@pytest.mark.parametrize(
    "traceparent",
    [
        "00-" + "0" * 32 + f"-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        "x" * 4000,
    ],
)
async def test_a_parent_that_cannot_be_is_none(monkeypatch: pytest.MonkeyPatch, traceparent: str) -> None:
    with receiver() as received:
        async with world(received.url, monkeypatch) as (client, _, _):
            await client.post("/openai/v1/chat/completions", json=ASK, headers={"traceparent": traceparent})
        (span,) = await spans(received)
    assert (span.trace_id.hex() != TRACE, span.parent_span_id) == (True, b"")


async def test_a_failure_is_one_and_a_refused_request_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as received:
        async with world(received.url, monkeypatch) as (client, _, _):
            assert (await client.get("/openai/v1/files")).status_code == 403
            assert (await client.get("/openai/v1/models/nothing-here")).status_code == 404
        (span,) = await spans(received)
    assert plain(span.attributes)["error.type"] == "404"
    assert span.status.code == Status.STATUS_CODE_ERROR


@pytest.mark.parametrize("status", [400, 503])
async def test_a_collector_that_fails_costs_one_line_of_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.WARNING)
    with receiver(status=status) as received:
        async with world(received.url, monkeypatch) as (client, _, _):
            for at in range(2):
                assert (await client.post("/openai/v1/chat/completions", json=ASK)).status_code == 200
                async with asyncio.timeout(5):
                    while len(received.headers) <= at:
                        await asyncio.sleep(0.01)
    assert len(caplog.records) == 1, caplog.text
    assert "spans" in caplog.text


async def test_a_collector_that_is_not_there_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world("http://127.0.0.1:1", monkeypatch) as (client, _, _):
        async with asyncio.timeout(10):
            for _ in range(20):
                assert (await client.post("/openai/v1/chat/completions", json=ASK)).status_code == 200


async def test_the_queue_is_bounded_and_the_oldest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with receiver(rest=0.2) as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        made = Spans({})
        for at in range(200):
            made.record(row(model=f"m{at}"))
        await made.aclose()
    models = [plain(span.attributes)["gen_ai.request.model"] for span in received.spans]
    assert len(models) <= 40
    assert "m199" in models


async def test_the_process_is_named_by_the_standard_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gateway-berlin")
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=collectors-key")
        made = Spans({})
        made.record(row())
        await made.aclose()
    assert received.resource["service.name"] == "gateway-berlin"
    assert received.headers[0]["api-key"] == "collectors-key"


def test_complaints_come_once_a_minute_with_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    now = [100.0]
    handler = _OncePerMinute(lambda: now[0])
    for at in range(5):
        handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, "failed %d", (at,), None))
    now[0] += 61
    handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, "failed again", (), None))
    assert [record.getMessage() for record in caplog.records] == [
        "failed 0 (0 more were held back)",
        "failed again (4 more were held back)",
    ]
