import json
from typing import Any

import pytest

from shmastra_cloud.gateway.composio import (
    account_in,
    has_items,
    owned_body,
    owned_query,
    trimmed,
    trims,
    user_of,
)
from shmastra_cloud.gateway.errors import NotOwned, RefusedRequest, RouteRefused

EXECUTE, ACCOUNTS = b"/api/v3/tools/execute/X", b"/api/v3.1/connected_accounts"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (b"", b"user_ids=me"),
        (b"user_ids=you&limit=5", b"limit=5&user_ids=me"),
        (b"user%5Fids=you", b"user_ids=me"),
        (b"userIds[]=you&user_ids%5B0%5D=you&entityIds=you", b"user_ids=me"),
        (b"accountType=SHARED", b"user_ids=me"),
        (b"user_id=you", b"user_id=me&user_ids=me"),
    ],
)
def test_a_list_of_accounts_is_always_the_users_own(query: bytes, wanted: bytes) -> None:
    assert owned_query(ACCOUNTS, query, "me") == wanted


def test_another_query_is_left_as_it_is_but_for_users() -> None:
    assert owned_query(b"/api/v3/tools", b"search=a%20b&limit=5", "me") == b"search=a%20b&limit=5"
    assert owned_query(b"/api/v3/tools", b"userId=you&search=a", "me") == b"user_id=me&search=a"


@pytest.mark.parametrize(
    "name", ["user_id", "userId", "entity_id", "entityId", "User_ID", "user_ids", "userIds"]
)
def test_whoever_is_named_the_keys_user_is_set(name: str) -> None:
    for path in (EXECUTE, b"/api/v3/connected_accounts/link", b"/api/v3.1/tool_router/session"):
        asked: dict[str, Any] = {name: "you", "arguments": {"user_id": "x"}}
        assert owned_body(path, asked, "me") == []
        assert asked == {"user_id": "me", "arguments": {"user_id": "x"}}
    asked = {name: "you", "connection": {name: "you", "state": {"val": {"user_id": "x"}}}}
    owned_body(ACCOUNTS, asked, "me")
    assert asked == {"connection": {"user_id": "me", "state": {"val": {"user_id": "x"}}}}
    asked = {name: "you", "enabled": True}
    owned_body(b"/api/v3/connected_accounts/ca_1/status", asked, "me")
    assert asked == {"enabled": True}


def test_accounts_are_found_wherever_a_body_names_them() -> None:
    asked = {"connected_account_id": "a", "connectedAccounts": {"x": ["b", "c"], "y": "d"}, "account": "ca_e"}
    assert owned_body(b"/api/v3/tool_router/session", asked, "me") == ["a", "b", "c", "d", "ca_e"]
    assert owned_body(b"/api/v3/tool_router/session/s/execute", {"account": "an alias"}, "me") == []
    with pytest.raises(NotOwned):
        owned_body(EXECUTE, {"connected_account_id": 5}, "me")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (EXECUTE, {"custom_auth_params": {}}),
        (EXECUTE, {"customConnectionData": {}}),
        (b"/api/v3/tools/execute/proxy", {"endpoint": "/x"}),
        (b"/api/v3/connected_accounts/link", {"experimental": {"account_type": "SHARED"}}),
        (ACCOUNTS, {"connection": {"experimental": {"acl_config_for_shared": {}}}}),
        (b"/api/v3/auth_configs", {}),
        (
            b"/api/v3/auth_configs",
            {"toolkit": {"slug": 5}, "auth_config": {"type": "use_composio_managed_auth"}},
        ),
    ],
)
def test_what_would_be_shared_is_refused(path: bytes, asked: dict[str, Any]) -> None:
    with pytest.raises(RouteRefused):
        owned_body(path, asked, "me")


def test_a_connection_that_is_none_is_refused() -> None:
    with pytest.raises(RefusedRequest):
        owned_body(ACCOUNTS, {"connection": "x"}, "me")


def test_the_account_in_a_path_is_read() -> None:
    assert account_in("GET", ACCOUNTS + b"/ca_1") == "ca_1"
    assert account_in("PATCH", ACCOUNTS + b"/ca_1/status") == "ca_1"
    assert account_in("DELETE", ACCOUNTS + b"/link") == "link"
    for path in (ACCOUNTS, ACCOUNTS + b"/link", ACCOUNTS + b"/complete_auth", b"/api/v3/tools"):
        assert account_in("POST", path) is None


def test_answers_are_trimmed_where_something_may_be_others() -> None:
    assert trims("GET", ACCOUNTS)
    assert trims("POST", b"/api/v3/auth_configs")
    assert not trims("POST", ACCOUNTS)
    answer = json.dumps({"items": [{"id": 1, "user_id": "me"}, {"id": 2, "user_id": "you"}, {"id": 3}, 4]})
    assert json.loads(trimmed(ACCOUNTS, answer.encode(), "me")) == {"items": [{"id": 1, "user_id": "me"}]}
    for odd in (b"[]", b"x", b"[" * 100_000):
        with pytest.raises((ValueError, TypeError)):
            trimmed(ACCOUNTS, odd, "me")


def test_whose_an_account_is_is_told_only_by_a_plain_answer() -> None:
    assert user_of(b'{"user_id": "me"}') == "me"
    for odd in (b"", b"[]", b'{"user_id": 5}', b"[" * 100_000):
        assert user_of(odd) is None
    assert not has_items(b'{"items": []}')
    for odd in (b"", b"[]", b'{"items": [1]}', b"{}"):
        assert has_items(odd)
