"""A stand-in for Composio, as strict as one key shared by all: it gives whoever has the key what he names.

Its answers are held by the official client, ``composio-client``, whose models read them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.doubles.llm_provider import REAL_KEY, _send

SECRET = "the-organizations-client-secret"
_ACCOUNT = re.compile(r"/connected_accounts/([^/]+)(?:/(status|refresh|revoke))?")
_SESSION = re.compile(r"/tool_router/session/([^/]+)(?:/(.*))?")


def account(name: str, user: str) -> dict[str, Any]:
    auth = {"id": "ac_1", "auth_scheme": "OAUTH2", "is_composio_managed": True, "is_disabled": False}
    state = {"authScheme": "OAUTH2", "val": {"status": "ACTIVE", "access_token": f"token-of-{user}"}}
    times = {"created_at": "2026-01-01", "updated_at": "2026-01-01", "is_disabled": False}
    return {
        "id": name,
        "user_id": user,
        "auth_config": auth,
        "state": state,
        "status": "ACTIVE",
        "toolkit": {"slug": "github"},
        "data": {},
        "params": {},
        **times,
    }


def sign_in(toolkit: str) -> dict[str, Any]:
    return {
        "id": f"ac_{toolkit}",
        "name": toolkit,
        "status": "ENABLED",
        "type": "default",
        "uuid": "u",
        "no_of_connections": 1,
        "tool_access_config": {},
        "toolkit": {"slug": toolkit, "logo": "x"},
        "is_composio_managed": False,
        "created_at": "2026-01-01",
        "credentials": {"client_id": "x", "client_secret": SECRET},
        "shared_credentials": {"secret": SECRET},
        "proxy_config": {"proxy_url": "http://x", "proxy_auth_key": SECRET},
    }


@dataclass
class Composio:
    """Keeps accounts and ways to sign in; ``heeds_users``: lists can be narrowed to some users'."""

    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    sign_ins: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, list[str]], Any]] = field(default_factory=list)
    heeds_users: bool = True
    status: int = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body", False)
        headers = dict(scope["headers"])
        query = parse_qs(scope["query_string"].decode())
        body = json.loads(raw) if raw else None
        path = re.sub(r"^/api/v3(?:\.\d)?", "", scope["path"])
        self.asked.append((scope["method"], path, query, body))
        if headers.get(b"x-api-key") != REAL_KEY.encode() or self.status != 200:
            status = 401 if self.status == 200 else self.status
            await _send(send, status, [json.dumps({"error": {"message": "no"}})])
            return
        answer = self.answer(scope["method"], path, query, body)
        status = 404 if answer is None else 200
        await _send(send, status, [json.dumps(answer or {"error": {"message": "not found", "slug": "x"}})])

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        if path == "/connected_accounts" and method == "GET":
            return self._list(query)
        if path in {"/connected_accounts", "/connected_accounts/link"}:
            user = body["connection"]["user_id"] if path == "/connected_accounts" else body["user_id"]
            name = f"ca_{len(self.accounts)}"
            self.accounts[name] = account(name, user)
            made = {"id": name, "status": "INITIATED", "redirect_url": "https://x", "connectionData": {}}
            return made | {"connected_account_id": name, "link_token": "t", "expires_at": "2026-01-01"}
        if found := _ACCOUNT.fullmatch(path):
            return self._account(method, found[1])
        if path.startswith("/auth_configs"):
            return self._sign_in(method, path, query, body)
        return self._run(path)

    def _sign_in(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        if path != "/auth_configs":
            return next((one for one in self.sign_ins if path.endswith(f"/{one['id']}")), None)
        if method == "GET":
            slugs = query.get("toolkit_slug")
            return _page([one for one in self.sign_ins if slugs in (None, [one["toolkit"]["slug"]])])
        self.sign_ins.append(sign_in(body["toolkit"]["slug"]))
        return {"toolkit": body["toolkit"], "auth_config": self.sign_ins[-1] | {"auth_scheme": "OAUTH2"}}

    def _list(self, query: dict[str, list[str]]) -> Any:
        users = query.get("user_ids")
        narrowed = self.heeds_users and users is not None
        return _page(
            [one for one in self.accounts.values() if not narrowed or one["user_id"] in (users or [])]
        )

    def _account(self, method: str, name: str) -> Any:
        found = self.accounts.get(name)
        if method == "DELETE":
            self.accounts.pop(name, None)
        return found if method == "GET" else found and {"success": True, "id": name, "status": "ACTIVE"}

    def _run(self, path: str) -> Any:
        if path.startswith("/tools/execute/"):
            return {"data": {}, "successful": True, "error": None, "log_id": "log_1"}
        if path == "/tool_router/session":
            return _session(f"trs_{len(self.asked)}")
        found = _SESSION.fullmatch(path)
        if found is None:
            return None
        executed = {"data": {}, "error": None, "log_id": "log_1"}
        return executed if found[2] == "execute" else _session(found[1])


def _page(items: list[dict[str, Any]]) -> dict[str, Any]:
    pages = {"next_cursor": None, "total_pages": 1, "current_page": 1, "total_items": len(items)}
    return {"items": items, **pages}


def _session(name: str) -> dict[str, Any]:
    config = {"user_id": "u", "manage_connections": {}}
    mcp = {"type": "http", "url": f"https://backend.composio.dev/tool_router/{name}/mcp"}
    return {"session_id": name, "config": config, "config_version": 1, "mcp": mcp, "tool_router_tools": []}
