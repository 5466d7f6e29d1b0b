"""Every route of the admin's that changes something, or looks into a sandbox, leaves its line."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from tests.doubles.engine import Works
from tests.shmastra_cloud.admin.conftest import Elsewhere, administering

from shmastra_cloud import admin as feature
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import EngineAway, Workspaces, access

ANN, BOB = "ann@example.com", "bob@example.com"
TOKEN = UUID(int=7)
SOURCE = Path(feature.__file__).parents[1]

# Each route, what is asked of it in this order, and what is written of it: the action, and how it ended.
CASES: list[tuple[str, str, str, dict[str, Any] | None, str, str]] = [
    ("POST", "/users", "/users", {"email": BOB, "admin": True}, "user.invite", "done"),
    ("POST", "/users/{email}/link", f"/users/{BOB}/link", None, "user.link", "done"),
    ("POST", "/users/{email}/role", f"/users/{BOB}/role", {"role": "member"}, "user.role", "done"),
    ("POST", "/users/{email}/sign-out", f"/users/{BOB}/sign-out", None, "user.sign-out", "done"),
    ("POST", "/users/{email}/rotate-key", f"/users/{BOB}/rotate-key", None, "key.rotate", "done"),
    ("POST", "/master-key/rotate", "/master-key/rotate", {}, "key.rotate-master", "failed"),
    ("POST", "/users/{email}/disable", f"/users/{BOB}/disable", None, "user.disable", "done"),
    ("POST", "/users/{email}/enable", f"/users/{BOB}/enable", None, "user.enable", "done"),
    ("PUT", "/users/{email}/models", f"/users/{BOB}/models", {"patterns": ["a/*"]}, "models.change", "done"),
    ("PUT", "/models", "/models", {"patterns": ["a/*"]}, "models.change", "done"),
    ("PUT", "/budgets/{who}", f"/budgets/{BOB}", {"usd_per_day": 1}, "budget.change", "done"),
    ("POST", "/audit", "/audit", {"action": "template.build", "target": "laptop"}, "template.build", "done"),
    ("POST", "/tokens/{token_id}/revoke", f"/tokens/{TOKEN}/revoke", None, "token.revoke", "done"),
    ("POST", "/users/{email}/remove", f"/users/{BOB}/remove", None, "user.remove", "done"),
    ("POST", "/sandboxes/{name}/pause", f"/sandboxes/{ANN}/pause", None, "sandbox.pause", "done"),
    ("POST", "/sandboxes/{name}/resume", f"/sandboxes/{ANN}/resume", None, "sandbox.resume", "done"),
    ("POST", "/sandboxes/{name}/exec", f"/sandboxes/{ANN}/exec", {"argv": ["ls"]}, "sandbox.exec", "failed"),
    (
        "POST",
        "/sandboxes/{name}/exec",
        f"/sandboxes/{ANN}/exec",
        {"argv": ["t"], "copies": "a"},
        "sandbox.cp",
        "failed",
    ),
    (
        "POST",
        "/sandboxes/{name}/exec/{pid}/stdin",
        f"/sandboxes/{ANN}/exec/1/stdin",
        None,
        "sandbox.stdin",
        "failed",
    ),
    (
        "GET",
        "/sandboxes/{name}/logs/{process}",
        f"/sandboxes/{ANN}/logs/healer",
        None,
        "sandbox.logs",
        "failed",
    ),
    ("POST", "/sandboxes/{name}/restart", f"/sandboxes/{ANN}/restart", None, "sandbox.restart", "done"),
    ("POST", "/sandboxes/{name}/reset", f"/sandboxes/{ANN}/reset", None, "sandbox.reset", "done"),
    ("POST", "/sandboxes/{name}/delete", f"/sandboxes/{ANN}/delete", None, "sandbox.delete", "done"),
]
LOOKS = {
    "/users",
    "/users/{email}/models",
    "/models",
    "/budgets",
    "/budgets/{who}",
    "/users/usage",
    "/doctor",
    "/audit",
    "/tokens",
    "/sandboxes",
    "/sandboxes/{name}",
    "/sandboxes/{name}/events",
}


def routes(router: APIRouter) -> set[tuple[str, str]]:
    """Return the routes of a router and of those that it includes."""
    found = set()
    for route in router.routes:
        if isinstance(route, APIRoute):
            found |= {(method, route.path) for method in route.methods}
        else:
            found |= routes(route.original_router)  # type: ignore[attr-defined]
    return found


def test_no_route_is_forgotten() -> None:
    assert {(method, path) for method, path, *_ in CASES} | {("GET", path) for path in LOOKS} == routes(
        feature.router
    )


PAGES = {  # what an admin changes on a page, each with a test of its own for its line
    "post /manage/login": "shows who waits, changes nothing",
    "post /manage/login/decide": "token.allow and token.refuse",
    "post /manage/login/revoke": "token.revoke",
}


def test_no_other_route_is_an_admins() -> None:
    """What is under ``/api/manage`` is the admin's router; what a page changes is known here."""
    found = set()
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            for made in getattr(node, "decorator_list", []):
                if isinstance(made, ast.Call) and made.args and isinstance(made.args[0], ast.Constant):
                    path = str(made.args[0].value)
                    assert not path.startswith("/api/manage"), f"{file}: {path}"
                    if path.startswith("/manage") and isinstance(made.func, ast.Attribute):
                        found.add(f"{made.func.attr} {path}")
    assert {one for one in found if not one.startswith("get ")} == set(PAGES)


@pytest.fixture
async def sandbox(pool: Pool, vault: Vault, engine: Works, monkeypatch: pytest.MonkeyPatch) -> str:
    def shut(_running: object) -> None:
        raise EngineAway("This service lets nobody in.")

    monkeypatch.setattr(access, "Inside", shut)
    row = await Workspaces(pool, vault).ensure(await Users(pool, vault).invite(ANN, admin=True))
    made = await engine.create(row.id, "x")
    await pool.execute("update sandboxes set status = 'ready', env_version = 1, sandbox_id = $1", made.id)
    await pool.execute(
        "insert into api_tokens (id, token_hash, user_id, name, expires_at)"
        " select $1, '', id, 'laptop', now() + interval '1 day' from users",
        TOKEN,
    )
    return made.id


async def test_each_leaves_its_line(admin: httpx.AsyncClient, pool: Pool, sandbox: str) -> None:
    last = 0
    for method, _route, path, body, action, outcome in CASES:
        await admin.request(method, path, json=body)
        [line] = (await admin.get("/audit?limit=1")).json()["lines"]
        assert line["id"] > last, f"{method} {path} left no line"
        last = line["id"]
        assert (line["action"], line["outcome"]) == (action, outcome), path
        assert (line["actor_kind"], line["origin"]) == ("os", "command line")
        wanted = (
            "laptop"
            if str(TOKEN) in path or path == "/audit"
            else "organization"
            if path in ("/models", "/master-key/rotate")
            else BOB
            if BOB in path or path == "/users"
            else ANN
        )
        assert line["target"] == wanted
        if path.startswith("/sandboxes"):
            assert line["target_id"] == sandbox
    assert await pool.fetchval("select count(*) from audit_log where detail::text like '%sandbox_id%'") == 0


async def test_what_is_refused_has_no_line_and_the_log_is_looked_through(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    for method, _route, path, body, *_ in CASES:
        if "nobody" not in path:
            other = path.replace(ANN, "nobody@example.com").replace(BOB, "nobody@example.com")
            if other != path:
                assert (await admin.request(method, other, json=body)).status_code == 404
    assert (await admin.get("/audit")).json() == {"lines": [], "next": None}
    await Users(pool, vault).invite(ANN, admin=True)
    refused = await admin.post(f"/users/{ANN}/role", json={"role": "member"})
    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
    assert (await admin.get("/audit")).json()["lines"] == []
    await admin.put("/budgets/default", json={"streams": 1})
    assert (
        len(
            (await admin.get("/audit?since=2026-01-01&who=root&action=budget&target=default")).json()["lines"]
        )
        == 1
    )
    for nonsense in (
        {"action": "user.invite", "target": "x"},
        {"action": "template.build", "target": "x" * 400},
    ):
        assert (await admin.post("/audit", json=nonsense)).status_code == 400
    for wrong in ("limit=0", "limit=5000", "before=0", f"before={2**64}", "since=moon", f"who={'x' * 400}"):
        assert (await admin.get(f"/audit?{wrong}")).status_code == 400


async def test_nobody_elsewhere_writes_lines(pool: Pool, vault: Vault, engine: Works) -> None:
    async with administering(pool, vault, engine, Elsewhere) as elsewhere:
        answer = await elsewhere.post("/audit", json={"action": "template.build", "target": "x"})
        assert (answer.status_code, answer.json()["code"]) == (403, "elsewhere")
    assert await pool.fetchval("select count(*) from audit_log") == 0
