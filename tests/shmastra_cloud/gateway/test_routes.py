import pytest

from shmastra_cloud.gateway.errors import RouteRefused
from shmastra_cloud.gateway.routes import match, route_from, route_table


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/v1/chat/completions"])
def test_the_version_may_stand_there_twice(path: bytes) -> None:
    assert match(route_table("openai"), b"/v1", "POST", path).rest == b"/chat/completions"


def test_the_model_in_googles_path_is_read() -> None:
    found = match(
        route_table("google"), b"/v1beta", "POST", b"/v1beta/models/gemini-2.5-pro:streamGenerateContent"
    )
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
        match(route_table(provider), version, method, path)


@pytest.mark.parametrize(
    ("provider", "path", "harmless"),
    [
        ("openai", b"/v1/moderations", True),
        ("openai", b"/v1/responses/input_tokens", True),
        ("openai", b"/v1/images/edits", False),
        ("openai", b"/v1/completions", False),
        ("groq", b"/v1/audio/transcriptions", False),
        ("mistral", b"/v1/fim/completions", False),
        ("azure", b"/v1/responses", False),
        ("of an admin's own", b"/v1/embeddings", False),
    ],
)
def test_what_shares_nothing_is_allowed(provider: str, path: bytes, *, harmless: bool) -> None:
    route = match(route_table(provider), b"/v1", "POST", path).route
    assert (route.harmless, route.spends) == (harmless, not harmless)


def test_a_models_name_may_have_parts_beside_openai() -> None:
    path = b"/v1/models/openai/gpt-oss-120b"
    assert match(route_table("groq"), b"/v1", "GET", path)
    with pytest.raises(RouteRefused):
        match(route_table("openai"), b"/v1", "GET", path)


def test_an_admin_adds_routes_in_which_a_star_is_one_segment() -> None:
    table = route_table("openai", [route_from("GET", "/files/*"), route_from("POST", "/batches")])
    assert match(table, b"/v1", "GET", b"/v1/files/file-1").route.harmless
    assert match(table, b"/v1", "POST", b"/v1/batches").route.spends
    for method, path in (
        ("GET", b"/v1/files"),
        ("GET", b"/v1/files/file-1/content"),
        ("GET", b"/v1/files/a%2Fb"),
        ("DELETE", b"/v1/files/file-1"),
        ("GET", b"/v1/batches"),
    ):
        with pytest.raises(RouteRefused):
            match(table, b"/v1", method, path)


def test_what_an_admin_allows_for_one_table_is_not_allowed_in_another() -> None:
    allowed = route_table("openai", [route_from("GET", "/files")])
    assert match(allowed, b"/v1", "GET", b"/v1/files")
    with pytest.raises(RouteRefused):
        match(route_table("openai"), b"/v1", "GET", b"/v1/files")


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
    found = match(route_table("openai"), b"/v1", method, path)
    assert (found.things, found.creates) == (things, creates)
    assert found.route.spends is (method == "POST" and path in {b"/v1/responses", b"/v1/chat/completions"})
