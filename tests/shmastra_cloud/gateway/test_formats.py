import json

import pytest

from shmastra_cloud.gateway.formats import error_body


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
