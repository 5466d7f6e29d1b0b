"""Calls under limits, as the providers' official SDKs see them refused and ended."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google import genai
from tests.doubles.llm_provider import TEXT, Endless, Leads, Provider
from tests.shmastra_cloud.gateway.test_app import KEY, USER, Make, World, make

from shmastra_cloud.gateway import ORGANIZATION, UNITS, Limits
from shmastra_cloud.gateway.asking import Estimate
from shmastra_cloud.gateway.budget import Ask
from shmastra_cloud.gateway.meter import Meter
from shmastra_cloud.gateway.reservation import Reservation
from shmastra_cloud.gateway.running import Running

__all__ = ["make"]
CLAUDE, GPT, GEMINI = "claude-3-5-haiku-20241022", "gpt-4o", "gemini-2.0-flash"
HI: Any = [{"role": "user", "content": "hi"}]
CENT = Limits(usd_per_month=UNITS // 100)
NOTHING = Limits(usd_per_day=0)


def openais(world: World, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url=f"{world.url}/openai/v1", **options)


def anthropics(world: World) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=KEY, base_url=f"{world.url}/anthropic")


async def googles(world: World, *, stream: bool) -> Any:
    def ask() -> Any:
        client = genai.Client(
            api_key=KEY, http_options=genai.types.HttpOptions(base_url=f"{world.url}/google")
        )
        try:
            if stream:
                return list(client.models.generate_content_stream(model=GEMINI, contents="hi"))
            return client.models.generate_content(model=GEMINI, contents="hi").text
        finally:
            client._api_client._httpx_client.close()

    return await asyncio.to_thread(ask)


async def test_a_used_up_budget_is_what_each_sdk_takes_for_a_rate_limit(make: Make) -> None:
    world = await make(limits={USER: NOTHING})
    async with openais(world) as client:
        for ask in (
            client.chat.completions.create(model=GPT, messages=HI),
            client.responses.create(model=GPT, input="hi"),
            client.embeddings.create(model="text-embedding-3-small", input="hi"),
        ):
            with pytest.raises(openai.RateLimitError, match="budget for this day is used up") as caught:
                await ask
            assert caught.value.code == "budget_exceeded"
            assert 0 < int(caught.value.response.headers["retry-after"]) <= 86_400
            assert caught.value.response.headers["x-shmastra-error"] == "budget_exceeded"
    async with anthropics(world) as client:
        with pytest.raises(anthropic.RateLimitError, match="It resets at"):
            await client.messages.create(model=CLAUDE, max_tokens=9, messages=HI)
    for stream in (True, False):
        with pytest.raises(genai.errors.ClientError) as refused:
            await googles(world, stream=stream)
        assert (refused.value.code, refused.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert world.provider.asked == []
    assert world.rows == []
    assert world.books.held(USER) == 0


async def test_what_would_hide_its_cost_must_fit_whole_and_what_shows_it_begins_with_less(
    make: Make,
) -> None:
    world = await make(limits={USER: CENT})
    async with openais(world, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError, match="Ask for a shorter answer"):
            await client.chat.completions.create(model=GPT, messages=HI)
        with pytest.raises(openai.RateLimitError, match="may cost"):
            await client.chat.completions.create(model="gpt-5", messages=HI, stream=True)
        await client.chat.completions.create(model=GPT, messages=HI, max_tokens=100)
        stream = await client.chat.completions.create(model=GPT, messages=HI, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == TEXT
    assert [row.leases != () for row in world.rows] == [True, True]
    [held] = world.books.slices.values()
    assert held.units <= UNITS // 100


@pytest.mark.parametrize("name", ["chat", "responses", "anthropic"])
async def test_a_stream_whose_money_is_used_up_raises_in_its_sdk(make: Make, name: str) -> None:
    world = await make(Forever(), limits={USER: Limits(usd_per_month=UNITS // 1000), ORGANIZATION: CENT})
    with pytest.raises((openai.APIError, anthropic.APIStatusError), match="budget is used up"):
        await endless(world, name)
    row = await world.row()
    assert (row.ended, row.status, row.estimated) == ("cut", 200, True)
    assert 0 < row.units <= UNITS // 1000 + 3000
    assert len(row.leases) == 2
    async with asyncio.timeout(5):
        await world.provider.gone.wait()


async def endless(world: World, name: str) -> None:
    stream: Any
    if name == "anthropic":
        async with anthropics(world) as client:
            stream = await client.messages.create(model=CLAUDE, max_tokens=9000, messages=HI, stream=True)
            async for _ in stream:
                continue
        return
    async with openais(world) as client:
        if name == "chat":
            stream = await client.chat.completions.create(model=GPT, messages=HI, stream=True)
        else:
            stream = await client.responses.create(model=GPT, input="hi", stream=True)
        async for _ in stream:
            continue


async def test_googles_stream_whose_money_is_used_up_is_cut(make: Make) -> None:
    world = await make(Forever(), limits={USER: Limits(usd_per_month=UNITS // 10_000)})
    with pytest.raises(httpx.RemoteProtocolError):
        await googles(world, stream=True)
    assert (await world.row()).ended == "cut"


class Forever(Endless):
    """Streams without end in the format that was asked for."""

    async def answer(self, path: str, body: dict[str, Any], receive: Any, send: Any) -> None:
        if path == "/v1/chat/completions":
            await super().answer(path, body, receive, send)
            return
        from tests.doubles import llm_provider as formats

        if path == "/v1/responses":
            pieces = formats._responses(body)
            begin, piece = pieces[:4], pieces[4]
        elif path == "/v1/messages":
            pieces = formats._messages(body)
            begin, piece = pieces[:2], pieces[2]
        else:
            begin, piece = [], f"data: {formats.json.dumps(formats._google('more ', 0))}\n\n"
        left = asyncio.ensure_future(formats._left(receive))
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for text in begin:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        while not left.done():
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
            await asyncio.sleep(0.001)
        self.gone.set()


async def test_what_is_left_stands_in_a_header_that_no_provider_can_forge(make: Make) -> None:
    world = await make(
        limits={USER: Limits(usd_per_month=UNITS), ORGANIZATION: Limits(usd_per_day=UNITS // 2)}
    )
    url, body = f"{world.url}/openai/v1/chat/completions", {"model": GPT, "messages": HI, "max_tokens": 100}
    answer = await world.http.post(url, json=body, headers={"x-api-key": KEY})
    assert 0.4 < float(answer.headers["x-shmastra-budget-remaining-usd"]) < 0.5
    assert answer.headers["x-shmastra-budget-reset"].endswith("T00:00:00Z")
    free = await make()
    answer = await free.http.post(
        f"{free.url}/openai/v1/chat/completions", json=body, headers={"x-api-key": KEY}
    )
    assert not [name for name in answer.headers if name.startswith("x-shmastra")]


async def test_a_model_without_a_price_is_refused_under_a_budget_only(make: Make) -> None:
    body = {"model": "no-such-model", "messages": HI}
    for limits, wanted in (({}, 200), ({USER: Limits(streams=9)}, 200), ({ORGANIZATION: CENT}, 403)):
        world = await make(limits=limits)
        answer = await world.http.post(
            f"{world.url}/openai/v1/chat/completions", json=body, headers={"x-api-key": KEY}
        )
        assert answer.status_code == wanted
        if wanted == 403:
            assert answer.json()["error"]["code"] == "price_unknown"
            assert "no-such-model has no known price" in answer.json()["error"]["message"]


async def test_rates_and_streams_are_limited_and_let_go(make: Make) -> None:
    world = await make(limits={USER: Limits(requests_per_minute=3, streams=1)})
    body = {"model": GPT, "messages": HI, "stream": True}
    ask = {"url": f"{world.url}/openai/v1/chat/completions", "json": body, "headers": {"x-api-key": KEY}}
    world.provider.rest = 0.2
    async with world.http.stream("POST", **ask):  # type: ignore[arg-type]
        second = await world.http.post(**ask)  # type: ignore[arg-type]
        assert (second.status_code, second.json()["error"]["code"]) == (429, "too_many_streams")
        assert second.headers["retry-after"] == "1"
        assert "x-should-retry" not in second.headers
    await world.row()
    world.provider.rest = 0
    await asyncio.sleep(0.05)
    for wanted in (200, 200, 429):
        answer = await world.http.post(**ask)  # type: ignore[arg-type]
        assert answer.status_code == wanted
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answer.headers["retry-after"]) <= 60


async def test_every_end_settles_what_was_reserved(make: Make) -> None:
    limits = {USER: Limits(usd_per_month=UNITS, streams=2)}
    body = {"model": GPT, "messages": HI, "stream": True}
    for provider in (Endless(), Leads(), Provider()):
        world = await make(provider, limits=limits)
        ask = {"url": f"{world.url}/openai/v1/chat/completions", "json": body, "headers": {"x-api-key": KEY}}
        async with world.http.stream("POST", **ask) as answer:  # type: ignore[arg-type]
            if isinstance(provider, Endless):
                async for _ in answer.aiter_raw():
                    break
            else:
                await answer.aread()
        row = await world.row()
        before = world.books.held(USER)
        world.books.write([row])
        assert world.books.slices.keys() == set(row.leases)
        assert world.books.held(USER) == before - row.units
        [slice_] = world.limiter.accounts(USER)[0].money.slices.values()
        assert (slice_.open, slice_.free, slice_.unwritten) == (0, before - row.units, row.units)
        assert world.limiter.accounts(USER)[0].streams.used == 0


def test_what_has_no_price_after_all_costs_what_was_reserved() -> None:
    reservation = Reservation(500, 0, 0)
    running = Running(reservation, Estimate(Ask(500, 500), visible=True), Meter())
    assert running.fits
    assert running.settle(None) is None
    reservation.settle(5)
