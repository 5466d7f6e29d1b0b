from typing import Any

from shmastra_cloud.telemetry.seen import CONTENT_BYTES, CURRENT, HEAD_BYTES, TAIL_BYTES, Seeing, Seen

SCOPE = {
    "type": "http",
    "raw_path": b"/api/gateway/openai/v1/responses",
    "headers": [(b"traceparent", b"00-a-b-01"), (b"authorization", b"Bearer vk_1")],
}


async def run(pieces: list[bytes], *, content: bool, question: bytes = b"") -> Seen:
    found: list[Seen | None] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        found.append(CURRENT.get())

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": question}

    async def send(message: Any) -> None:
        sent.append(message)

    await Seeing(app, content=content)(SCOPE, receive, send)
    assert b"".join(message.get("body", b"") for message in sent) == b"".join(pieces)
    assert CURRENT.get() is None
    seen = found[0]
    assert seen is not None
    return seen


async def test_only_the_ends_of_an_answer_are_kept() -> None:
    seen = await run([b"a" * 3000] * 1000 + [b"z" * 100_000] * 5, content=False, question=b"secret")
    assert seen.head == b"a" * HEAD_BYTES
    assert seen.tail == b"z" * TAIL_BYTES
    assert (seen.question, seen.answer) == (None, None)


async def test_content_is_kept_where_it_is_asked_for_and_short_enough() -> None:
    seen = await run([b"one", b"two"], content=True, question=b"what?")
    assert (seen.question, seen.answer) == (b"what?", b"onetwo")
    seen = await run([b"x" * 1024] * (CONTENT_BYTES // 1024 + 1), content=True, question=b"what?")
    assert (seen.question, seen.answer) == (b"what?", None)


async def test_of_the_headers_only_those_of_the_trace_are_told() -> None:
    assert (await run([], content=False)).trace_headers == {"traceparent": "00-a-b-01"}


async def test_nothing_is_seen_of_a_websocket() -> None:
    found: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        found.extend([CURRENT.get(), receive, send])

    ways: Any = ("receive", "send")
    await Seeing(app, content=True)({**SCOPE, "type": "websocket"}, *ways)
    assert found == [None, "receive", "send"]
