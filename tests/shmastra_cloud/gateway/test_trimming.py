from typing import Any

import pytest

from shmastra_cloud.gateway.errors import UpstreamUnusable
from shmastra_cloud.gateway.trimming import MAX_ANSWER_BYTES, Trimmed


class Sent(list[Any]):
    async def send(self, message: Any) -> None:
        self.append(message)


def start(status: int = 200) -> Any:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-length", b"9"), (b"a", b"b")],
    }


def piece(data: bytes, *, more: bool = False) -> Any:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_an_answer_is_sent_once_it_is_whole_with_its_new_length() -> None:
    sent = Sent()
    edit = Trimmed(lambda answer: answer.replace(b"secret", b""), sent.send)
    for message in (start(), piece(b"my sec", more=True), piece(b"ret x")):
        assert sent == []
        await edit.send(message)
    assert sent[0]["headers"] == [(b"a", b"b"), (b"content-length", b"5")]
    assert sent[1]["body"] == b"my  x"


async def test_an_error_passes_as_it_is() -> None:
    sent = Sent()
    edit = Trimmed(lambda _: b"", sent.send)
    for message in (start(404), piece(b"why")):
        await edit.send(message)
    assert sent == [start(404), piece(b"why")]


async def test_what_cannot_be_looked_through_is_not_sent() -> None:
    def unknown(answer: bytes) -> bytes:
        raise ValueError(answer)

    for data in (b"x", b"x" * (MAX_ANSWER_BYTES + 1)):
        sent = Sent()
        edit = Trimmed(unknown, sent.send)
        await edit.send(start())
        with pytest.raises(UpstreamUnusable):
            await edit.send(piece(data))
        assert sent == []
