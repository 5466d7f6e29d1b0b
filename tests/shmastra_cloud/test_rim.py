from typing import Any

import pytest

from shmastra_cloud.rim import OwnHost, SameOrigin, SmallBodies

HERE = "https://cloud.example.com"


class Wire:
    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.sent, self.bodies = list(pieces), [], []

    async def receive(self) -> Any:
        if not self.pieces:
            return {"type": "http.disconnect"}
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def app(self, _scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive()).get("body"))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status


def scope(method: str = "GET", path: str = "/", **headers: str) -> Any:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": pairs}


@pytest.mark.parametrize(
    ("host", "path", "wanted"),
    [
        ("cloud.example.com", "/", 200),
        ("CLOUD.example.com:443", "/", 200),
        ("gw.example.com", "/", 200),
        ("10.0.0.1:3000", "/", 200),
        ("evil.example", "/", 421),
        ("cloud.example.com.evil.example", "/", 421),
        ("evil.example", "/health", 200),
    ],
)
async def test_only_names_of_ours_and_addresses_are_answered(host: str, path: str, wanted: int) -> None:
    wire = Wire(b"")
    app = OwnHost(wire.app, (HERE, "https://gw.example.com"))
    for _ in range(2):
        wire.pieces, wire.sent = [b""], []
        await app(scope("GET", path, host=host), wire.receive, wire.send)
        assert wire.status == wanted


async def test_a_websocket_under_another_name_is_refused_as_one() -> None:
    wire = Wire(b"")
    await OwnHost(wire.app, (HERE,))(
        {**scope(host="evil.example"), "type": "websocket"}, wire.receive, wire.send
    )
    assert [message["type"] for message in wire.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert wire.status == 421


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (scope("GET", "/x//y"), 400),
        (scope("GET", "/workspace", sec_fetch_site="cross-site"), 200),
        (scope("GET", "/api/me", sec_fetch_site="cross-site"), 403),
        (scope("GET", "/api/me"), 200),
        (scope("POST", "/logout"), 403),
        (scope("POST", "/logout", origin=HERE), 200),
        (scope("POST", "/api/sandbox/heal"), 200),
    ],
)
async def test_what_comes_from_elsewhere_is_refused(asked: Any, wanted: int) -> None:
    wire = Wire(b"")
    await SameOrigin(wire.app, HERE)(asked, wire.receive, wire.send)
    assert wire.status == wanted


@pytest.mark.parametrize(
    ("programs", "headers", "wanted"),
    [
        (True, {"authorization": "Bearer x"}, 200),
        (True, {"authorization": "Bearer x", "origin": "https://evil.example"}, 200),
        (True, {"cookie": "shmastra_session=x"}, 403),
        (False, {"authorization": "Bearer x"}, 403),
    ],
)
async def test_a_program_says_by_its_token_that_it_is_no_page(
    programs: bool, headers: dict[str, str], wanted: int
) -> None:
    wire = Wire(b"")
    app = SameOrigin(wire.app, HERE, programs=programs)
    await app(scope("POST", "/api/manage/users", **headers), wire.receive, wire.send)
    assert wire.status == wanted


async def test_a_body_is_passed_whole_or_refused() -> None:
    small = Wire(b"ab", b"cd")
    await SmallBodies(small.app, 4)(scope("POST"), small.receive, small.send)
    assert (small.bodies, small.status) == ([b"abcd"], 200)
    long = Wire(b"ab", b"cde", b"never read")
    await SmallBodies(long.app, 4)(scope("POST"), long.receive, long.send)
    assert (long.bodies, long.status, long.pieces) == ([], 413, [b"never read"])
    gone = Wire()
    await SmallBodies(gone.app)(scope("POST"), gone.receive, gone.send)
    assert (gone.bodies, gone.sent) == ([], [])
