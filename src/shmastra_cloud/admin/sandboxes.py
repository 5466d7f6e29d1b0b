"""Sandboxes as the fleet shows them, and what changes them; ``name`` is an id or its user's email."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from shmastra_cloud.admin.parts import Parts, answered, find

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
async def pause(here: Parts, name: str) -> dict[str, str]:
    """Suspend a sandbox."""
    user_id = await find(here, name)
    with answered():
        return {"status": await here.lifecycle.pause(user_id)}


@router.post("/sandboxes/{name}/resume")
async def resume(here: Parts, name: str) -> dict[str, str]:
    """Bring a sandbox back."""
    user_id = await find(here, name)
    with answered():
        return {"status": await here.lifecycle.resume(user_id)}


@router.post("/sandboxes/{name}/restart")
async def restart(here: Parts, name: str) -> dict[str, str]:
    """Start a workspace's dev server anew."""
    user_id = await find(here, name)
    with answered():
        return {"status": await here.lifecycle.restart(user_id)}


@router.post("/sandboxes/{name}/reset")
async def reset(here: Parts, name: str) -> dict[str, str]:
    """Begin again with an empty sandbox."""
    user_id = await find(here, name)
    with answered():
        return {"status": await here.lifecycle.reset(user_id)}


@router.post("/sandboxes/{name}/delete")
async def delete(here: Parts, name: str) -> dict[str, str]:
    """Destroy a sandbox and forget the workspace."""
    user_id = await find(here, name)
    with answered():
        await here.lifecycle.delete(user_id)
    return {"status": "deleted"}
