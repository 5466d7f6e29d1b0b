"""Composio under one key: every request acts as the key's user, whoever it says it acts for.

The fields are those of the clients ``composio-client`` 1.43 (Python) and ``@composio/core`` 0.17
(TypeScript), API versions 3 and 3.x. What is shared by all, tools and ways to sign in, can be read; ways to
sign in only without their secrets.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from shmastra_cloud.gateway.errors import NotOwned, RefusedRequest, RouteRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = frozenset(("userid", "entityid", "clientuniqueuserid"))
_USERS = frozenset(("userids", "entityids", "clientuniqueuserids"))
_ACCOUNTS = frozenset(
    ("connectedaccountid", "connectedaccountids", "connectedaccounts", "connectedaccount", "connectedauthid")
)
# Somebody's own sign-in data with a base URL of his choice, and ways to share an account with others.
_REFUSED = frozenset(
    ("customauthparams", "customconnectiondata", "aclconfigforshared", "accounttype", "linkurloverwrite")
)
# What a tool is called with and is made of: any word may be a field there.
_OTHERS = frozenset(
    ("arguments", "parameters", "body", "inputschema", "outputschema", "state", "val", "data")
)
_LISTS = re.compile(rb"/api/v3(?:\.\d)?/connected_accounts")
_ACCOUNT = re.compile(r"/api/v3(?:\.\d)?/connected_accounts/([A-Za-z0-9_-]+)")
_TAKES_USER = re.compile(
    rb"/api/v3(?:\.\d)?/(?:tools/execute/(?!proxy$)[^/]+|connected_accounts/(?:link|complete_auth)|tool_router/session)"
)
_PROXY = re.compile(rb"/api/v3(?:\.\d)?/tools/execute/proxy")
_CONNECT = re.compile(rb"/api/v3(?:\.\d)?/connected_accounts")
_SIGN_IN = re.compile(rb"/api/v3(?:\.\d)?/auth_configs(?:/[A-Za-z0-9_-]+)?")
_SHOWN_OF_SIGN_IN = (
    "id", "uuid", "name", "status", "type", "auth_scheme", "toolkit", "is_composio_managed", "created_at",
    "last_updated_at", "no_of_connections", "tool_access_config", "restrict_to_following_tools",
    "is_enabled_for_tool_router", "expected_input_fields",
)  # fmt: skip
_NO_ACCOUNTS = frozenset(("link", "complete_auth"))
_PAGE = ("next_cursor", "total_pages", "current_page", "total_items")


def account_in(method: str, path: bytes) -> str | None:
    """Return the connected account that a path names; ``link`` makes one, ``complete_auth`` ends that."""
    found = _ACCOUNT.match(path.decode("ascii", "replace"))
    return None if found is None or (method == "POST" and found[1] in _NO_ACCOUNTS) else found[1]


def owned_query(path: bytes, query: bytes, user: str) -> bytes:
    """Return a query in which every user is the key's; a list of accounts is always that of his."""
    kept = []
    for piece in query.split(b"&"):
        name = _plain(unquote_plus(piece.partition(b"=")[0].decode("latin-1")))
        if piece and name not in _USER | _USERS | _REFUSED:
            kept.append(piece)
        elif name in _USER:
            kept.append(b"user_id=" + user.encode())
    if _LISTS.fullmatch(path):
        kept.append(b"user_ids=" + user.encode())
    return b"&".join(kept)


def owned_body(path: bytes, asked: dict[str, Any], user: str) -> list[str]:
    """Set every user in a body to the key's, and return the connected accounts that it names.

    Raises:
        RouteRefused: it asks for what would be shared with others, or escapes the key's user.
        RefusedRequest: it is not what the route takes.

    """
    if _SIGN_IN.fullmatch(path):
        _only_managed(asked)
        return []
    _drop_users(asked)
    if _TAKES_USER.fullmatch(path):
        asked["user_id"] = user
    connection = asked.setdefault("connection", {}) if _CONNECT.fullmatch(path) else asked.get("connection")
    if isinstance(connection, dict):
        _drop_users(connection)
    if _CONNECT.fullmatch(path):
        if not isinstance(connection, dict):
            raise RefusedRequest("The field connection must be an object.")
        connection["user_id"] = user
    accounts = list(_accounts(asked))
    if _PROXY.fullmatch(path) and not accounts:
        raise RouteRefused("Name your connected account in connected_account_id.")
    return accounts


def new_sign_in(path: bytes, asked: dict[str, Any]) -> str | None:
    """Return the toolkit for which a way to sign in is to be made, which has to be the first one."""
    return str(asked["toolkit"]["slug"]) if _SIGN_IN.fullmatch(path) else None


def trims(method: str, path: bytes) -> bool:
    """Tell whether an answer has to be looked through before its user sees it."""
    return (method == "GET" and _LISTS.fullmatch(path) is not None) or _SIGN_IN.fullmatch(path) is not None


def trimmed(path: bytes, answer: bytes, user: str) -> bytes:
    """Return an answer without accounts of others, and without the secrets of ways to sign in.

    Raises:
        ValueError: it is no JSON of the kind that is known, so that nothing can be told of it.

    """
    try:
        found = json.loads(answer)
    except RecursionError as error:
        raise ValueError("The answer is nested too deeply.") from error
    if not isinstance(found, dict):
        raise TypeError("The answer is no object.")
    if _SIGN_IN.fullmatch(path):
        return json.dumps(_without_secrets(found)).encode()
    items = found.get("items")
    found["items"] = [
        one
        for one in (items if isinstance(items, list) else [])
        if isinstance(one, dict) and one.get("user_id") == user
    ]
    return json.dumps(found).encode()


def user_of(answer: bytes) -> str | None:
    """Return whose a connected account is, from what Composio says of it."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    user = found.get("user_id") if isinstance(found, dict) else None
    return user if isinstance(user, str) else None


def has_items(answer: bytes) -> bool:
    """Tell whether a list holds anything; one that cannot be read may."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return True
    return not isinstance(found, dict) or found.get("items") != []


def _plain(name: str) -> str:
    return name.partition("[")[0].casefold().replace("_", "").replace("-", "")


def _drop_users(asked: dict[str, Any]) -> None:
    for name in [name for name in asked if _plain(name) in _USER | _USERS]:
        del asked[name]


def _accounts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _accounts(item)
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        plain = _plain(name)
        if plain in _REFUSED:
            raise RouteRefused(f"The field {name} is not relayed: what it asks for is shared by all.")
        if plain in _ACCOUNTS:
            yield from _names(name, item)
        elif plain == "account" and isinstance(item, str) and item.startswith("ca_"):
            yield item
        elif plain not in _OTHERS:
            yield from _accounts(item)


def _names(field: str, value: Any) -> Iterator[str]:
    """Read ids: one, a list, or lists by toolkit."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(field, item)
    elif value is not None:
        raise NotOwned(f"{field} names something in a way that cannot be checked here.")


def _only_managed(asked: dict[str, Any]) -> None:
    """Leave of a new way to sign in, which all will see, what the SDKs ask for where there is none yet.

    Raises:
        RouteRefused: it is not one that Composio itself manages.

    """
    wanted, toolkit = asked.get("auth_config"), asked.get("toolkit")
    slug = toolkit.get("slug") if isinstance(toolkit, dict) else None
    managed = isinstance(wanted, dict) and wanted.get("type") == "use_composio_managed_auth"
    if not managed or not isinstance(slug, str):
        raise RouteRefused("Only an admin can make a way to sign in that Composio does not manage itself.")
    asked.clear()
    asked["toolkit"] = {"slug": slug}
    access: dict[str, list[str]] = {"tools_for_connected_account_creation": []}
    asked["auth_config"] = {"type": "use_composio_managed_auth", "tool_access_config": access}


def _without_secrets(found: dict[str, Any]) -> dict[str, Any]:
    items = found.get("items")
    if isinstance(items, list):
        shown = [_without_secrets(one) for one in items if isinstance(one, dict)]
        return {**{key: found[key] for key in _PAGE if key in found}, "items": shown}
    if isinstance(found.get("auth_config"), dict):  # the answer to making one
        made = {key: value for key, value in found["auth_config"].items() if key in _SHOWN_OF_SIGN_IN}
        return {"toolkit": found.get("toolkit"), "auth_config": made}
    return {key: found[key] for key in _SHOWN_OF_SIGN_IN if key in found}
