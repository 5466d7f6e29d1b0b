import json

import pytest

from shmastra_cloud.gateway.formats import error_body, error_event


@pytest.mark.parametrize(
    ("style", "path"),
    [
        ("openai", ("error", "message")),
        ("anthropic", ("error", "message")),
        ("google", ("error", "message")),
        ("composio", ("error", "message")),
        ("plain", ("error",)),
    ],
)
def test_the_message_stands_where_the_sdk_looks_for_it(style: str, path: tuple[str, ...]) -> None:
    value = json.loads(error_body(style, 401, "code", "what happened"))  # type: ignore[arg-type]
    for name in path:
        value = value[name]
    assert value == "what happened"


def test_a_stream_ends_as_the_provider_would_end_it() -> None:
    assert (error_event("openai", "c", "why") or b"").startswith(b'data: {"error": {"message": "why"')
    for event in (error_event("openai", "c", "why", responses=True), error_event("anthropic", "c", "why")):
        first, second = (event or b"").removesuffix(b"\n\n").split(b"\n")
        value = json.loads(second.removeprefix(b"data: "))
        assert first == b"event: error"
        assert (value["type"], value["error"]["message"]) == ("error", "why")
    assert error_event("google", "c", "why") is None
