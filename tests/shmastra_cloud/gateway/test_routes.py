import pytest

from shmastra_cloud.gateway.errors import RouteRefused
from shmastra_cloud.gateway.routes import match


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/v1/chat/completions"])
def test_the_version_may_stand_there_twice(path: bytes) -> None:
    assert match("openai", b"/v1", "POST", path).rest == b"/chat/completions"


def test_the_model_in_googles_path_is_read() -> None:
    found = match("google", b"/v1beta", "POST", b"/v1beta/models/gemini-2.5-pro:streamGenerateContent")
    assert found.model == "gemini-2.5-pro"


@pytest.mark.parametrize(
    ("provider", "version", "method", "path"),
    [
        ("openai", b"/v1", "GET", b"/v1/files"),
        ("openai", b"/v1", "DELETE", b"/v1/models/x"),
        ("openai", b"/v1", "POST", b"/v1/fine_tuning/jobs"),
        ("openai", b"/v1", "GET", b"/v1/responses"),
        ("openai", b"/v1", "GET", b"/v1/conversations"),
        ("openai", b"/v1", "POST", b"/v1/responses/resp_1"),
        ("openai", b"/v1", "GET", b"/v1/responses/resp_1/input_items/x"),
        ("openai", b"/v1", "GET", b"/models"),
        ("anthropic", b"/v1", "GET", b"/v1/organizations/me"),
        ("google", b"/v1beta", "POST", b"/v1beta/cachedContents"),
        ("composio", b"", "GET", b"/api/v3/trigger_instances/active"),
        ("composio", b"", "POST", b"/api/v3/trigger_instances/X/upsert"),
        ("composio", b"", "POST", b"/api/v3.1/mcp/servers"),
        ("composio", b"", "POST", b"/api/v3/files/upload/request"),
        ("composio", b"", "PATCH", b"/api/v3/auth_configs/ac_1"),
        ("composio", b"", "DELETE", b"/api/v3/auth_configs/ac_1"),
        ("composio", b"", "GET", b"/api/v3.1/internal/action_execution/logs"),
        ("composio", b"", "GET", b"/api/v1/connectedAccounts"),
        ("composio", b"", "GET", b"/api/v2/connectedAccounts"),
    ],
)
def test_what_belongs_to_the_whole_account_is_refused(
    provider: str, version: bytes, method: str, path: bytes
) -> None:
    with pytest.raises(RouteRefused, match=path.decode()):
        match(provider, version, method, path)


@pytest.mark.parametrize(
    ("method", "path", "things", "creates"),
    [
        ("POST", b"/v1/responses", (), True),
        ("GET", b"/v1/responses/resp_1", (("responses", "resp_1"),), False),
        ("GET", b"/v1/responses/resp_1/input_items", (("responses", "resp_1"),), False),
        ("POST", b"/v1/responses/resp_1/cancel", (("responses", "resp_1"),), False),
        ("POST", b"/v1/conversations", (), True),
        ("POST", b"/v1/conversations/conv_1/items", (("conversations", "conv_1"),), False),
        ("DELETE", b"/v1/conversations/conv_1/items/msg_1", (("conversations", "conv_1"),), False),
        ("POST", b"/v1/chat/completions", (), False),
    ],
)
def test_a_route_tells_whose_things_it_touches(
    method: str, path: bytes, things: tuple[tuple[str, str], ...], *, creates: bool
) -> None:
    found = match("openai", b"/v1", method, path)
    assert (found.things, found.creates) == (things, creates)
    assert found.route.spends is (method == "POST" and path in {b"/v1/responses", b"/v1/chat/completions"})
