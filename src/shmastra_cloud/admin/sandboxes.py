"""Sandboxes as the fleet shows them, and what changes them; ``name`` is an id or its user's email."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Query

from shmastra_cloud.admin.parts import Parts, Who, answered, find, find_sandbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from shmastra_cloud.admin.parts import AdminParts
    from shmastra_cloud.audit import Actor

T = TypeVar("T")

router = APIRouter()

EVENTS = 20
MAX_EVENTS = 1000


@router.get("/sandboxes")
async def list_sandboxes(here: Parts) -> list[dict[str, Any]]:
    """Return every workspace."""
    return [dict(row) for row in await here.store.overview()]


@router.get("/sandboxes/{name}")
async def show_sandbox(here: Parts, name: str) -> dict[str, Any]:
    """Return one workspace with its latest changes."""
    user_id = await find(here, name)
    [row] = await here.store.overview(user_id)
    return {**dict(row), "events": await events(here, name, EVENTS)}


@router.get("/sandboxes/{name}/events")
async def events(
    here: Parts, name: str, limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = EVENTS
) -> list[dict[str, Any]]:
    """Return a workspace's latest changes, newest first."""
    user_id = await find(here, name)
    with answered():
        workspace = await here.store.get(user_id)
    return [dict(event) for event in await here.store.events(workspace.id, limit)]


@router.post("/sandboxes/{name}/pause")
async def pause(here: Parts, who: Who, name: str) -> dict[str, str]:
    """Suspend a sandbox."""
    return {"status": await _change(here, who, name, "pause", here.lifecycle.pause)}


@router.post("/sandboxes/{name}/resume")
async def resume(here: Parts, who: Who, name: str) -> dict[str, str]:
    """Bring a sandbox back."""
    return {"status": await _change(here, who, name, "resume", here.lifecycle.resume)}


@router.post("/sandboxes/{name}/restart")
async def restart(here: Parts, who: Who, name: str) -> dict[str, str]:
    """Start a workspace's dev server anew."""
    return {"status": await _change(here, who, name, "restart", here.lifecycle.restart)}


@router.post("/sandboxes/{name}/reset")
async def reset(here: Parts, who: Who, name: str) -> dict[str, str]:
    """Begin again with an empty sandbox."""
    return {"status": await _change(here, who, name, "reset", here.lifecycle.reset)}


@router.post("/sandboxes/{name}/delete")
async def delete(here: Parts, who: Who, name: str) -> dict[str, str]:
    """Destroy a sandbox and forget the workspace."""
    await _change(here, who, name, "delete", here.lifecycle.delete)
    return {"status": "deleted"}


async def _change(
    here: AdminParts, who: Actor, name: str, word: str, change: Callable[[UUID], Awaitable[T]]
) -> T:
    sandbox = await find_sandbox(here, name)
    with answered():
        async with here.audit.around(who, f"sandbox.{word}", sandbox.email, sandbox.sandbox_id):
            return await change(sandbox.user_id)
