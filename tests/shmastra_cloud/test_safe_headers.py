from typing import Any

import pytest

from shmastra_cloud.safe_headers import DEFAULTS, SafeHeaders, permissions


async def answered(path: str, *own: tuple[bytes, bytes], kind: str = "http", https: bool = False) -> Any:
    sent: list[Any] = []
    prefix = "websocket.http" if kind == "websocket" else "http"

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": f"{prefix}.response.start", "status": 200, "headers": own})
        await send({"type": f"{prefix}.response.body", "body": b"x"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path}
    await SafeHeaders(app, https=https)(scope, None, send)  # type: ignore[arg-type]  # nobody asks
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_what_an_answer_does_not_say_itself_is_added(kind: str) -> None:
    own = (b"cache-control", b"private")
    start, body = await answered("/x", own, kind=kind)
    found = dict(start["headers"])
    assert len(found) == len(start["headers"]) == len(DEFAULTS)
    assert found[b"cache-control"] == b"private"
    assert found[b"x-content-type-options"] == b"nosniff"
    assert body["body"] == b"x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ],
)
def test_nothing_is_missing_from_what_every_answer_says(name: str, value: str) -> None:
    assert DEFAULTS[name] == value
    assert "default-src 'none'" in DEFAULTS["content-security-policy"]
    assert "camera=()" in DEFAULTS["permissions-policy"]


async def test_the_gateway_has_headers_of_its_own() -> None:
    start, _ = await answered("/api/gateway/openai/v1/models")
    assert start["headers"] == ()


async def test_only_under_tls_browsers_are_told_to_come_back_under_tls() -> None:
    for https in (False, True):
        start, _ = await answered("/x", https=https)
        assert (b"strict-transport-security" in dict(start["headers"])) is https


def test_a_page_has_only_the_powers_that_it_names() -> None:
    assert "microphone=(self)" in permissions("microphone")
    assert "(self)" not in permissions()
    assert "camera=()" in permissions("microphone")
