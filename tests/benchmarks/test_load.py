from __future__ import annotations

import json

import pytest
from benchmarks.load import body, head, whole
from benchmarks.stage import Server


@pytest.mark.parametrize(
    ("answer", "is_whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_length_or_last_chunk_is_there(answer: bytes, is_whole: bool) -> None:
    assert whole(answer) is is_whole


def test_a_request_carries_the_servers_own_headers_and_its_length() -> None:
    server = Server("x", 1, None, ["k"], path="/p", headers=("x-a: b",))
    lines, _, text = head(server, "k", body("pace-10-0-a", stream=True)).decode().partition("\r\n\r\n")
    assert lines.splitlines()[0] == "POST /p HTTP/1.1"
    assert {"x-a: b", "Authorization: Bearer k", f"Content-Length: {len(text)}"} <= set(lines.splitlines())
    asked = json.loads(text)
    assert (asked["user"], asked["stream"]) == ("pace-10-0-a", True)
    assert "stream" not in json.loads(body())
