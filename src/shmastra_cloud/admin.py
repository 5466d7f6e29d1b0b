"""What the command line asks of a running cloud, over a socket that only its owner can open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field

from shmastra_cloud.identity import UnknownUser, make_link
from shmastra_cloud.metering import usage_by
from shmastra_cloud.workspaces import IllegalTransition, UnknownWorkspace

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity import Users
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.workspaces import Workspaces

router = APIRouter()

EMAIL = r"^[^@\s]+@[^@\s]+$"


@dataclass(frozen=True)
class AdminParts:
    """What the routes need."""

    settings: Settings
    pool: Pool
    users: Users
    store: Workspaces


class Invitation(BaseModel):
    """Who is invited."""

    email: str = Field(pattern=EMAIL, max_length=320)
    admin: bool = False


def parts(request: Request) -> AdminParts:
    """Return the process's parts; a FastAPI dependency."""
    return cast("AdminParts", request.app.state.admin)


Parts = Annotated[AdminParts, Depends(parts)]


@router.get("/users")
async def list_users(here: Parts) -> list[dict[str, Any]]:
    """Return every user."""
    return [dict(row) for row in await here.users.all()]


@router.post("/users")
async def invite(here: Parts, invitation: Invitation) -> dict[str, Any]:
    """Invite a user and return a one-time link."""
    await here.users.invite(invitation.email, admin=invitation.admin)
    return await link(here, invitation.email)


@router.post("/users/{email}/link")
async def link(here: Parts, email: str) -> dict[str, Any]:
    """Return a one-time link for a user."""
    token, expires_at = await make_link(here.pool, await _user(here, email))
    url = f"{here.settings.public_url}/login/link/{token}"
    return {"email": email.strip().lower(), "url": url, "expires_at": expires_at.isoformat()}


@router.post("/users/{email}/disable")
async def disable(here: Parts, email: str) -> dict[str, str]:
    """Shut a user out."""
    await _user(here, email)
    await here.users.set_disabled(email, disabled=True)
    return {"email": email}


@router.post("/users/{email}/enable")
async def enable(here: Parts, email: str) -> dict[str, str]:
    """Let a user in again."""
    await _user(here, email)
    await here.users.set_disabled(email, disabled=False)
    return {"email": email}


@router.post("/users/{email}/rotate-key")
async def rotate_key(here: Parts, email: str) -> dict[str, str]:
    """Replace a user's virtual key."""
    await _user(here, email)
    await here.users.rotate_key(email)
    return {"email": email}


@router.get("/sandboxes")
async def list_sandboxes(here: Parts) -> list[dict[str, Any]]:
    """Return every workspace."""
    return [dict(row) for row in await here.store.overview()]


@router.get("/sandboxes/{name}")
async def show_sandbox(here: Parts, name: str) -> dict[str, Any]:
    """Return one workspace with its latest changes, by its sandbox's id or its user's email."""
    for row in await here.store.overview():
        if name.lower() == row["email"] or name == row["sandbox_id"]:
            workspace = await here.store.get(await here.users.find(row["email"]))
            events = [dict(event) for event in await here.store.events(workspace.id)]
            return {**dict(row), "events": events}
    raise HTTPException(404, {"error": f"There is no sandbox {name}.", "code": "unknown_sandbox"})


@router.post("/sandboxes/{name}/restart")
async def restart_sandbox(here: Parts, name: str) -> dict[str, str]:
    """Start a workspace's dev server anew."""
    email = (await show_sandbox(here, name))["email"]
    try:
        workspace = await here.store.get(await here.users.find(email))
        if workspace.status != "provisioning":
            await here.store.move(
                workspace, "provisioning", actor="admin", reason="an admin asked for it", under_lease=False
            )
    except (IllegalTransition, UnknownWorkspace) as error:
        raise HTTPException(409, {"error": str(error), "code": "illegal_transition"}) from error
    return {"email": email, "status": "provisioning"}


@router.get("/usage")
async def usage(here: Parts, by: str = "user") -> list[dict[str, Any]]:
    """Return what was used, by user, model or day."""
    try:
        rows = await usage_by(here.pool, by)
    except KeyError as error:
        raise HTTPException(400, {"error": "by must be user, model or day.", "code": "bad_group"}) from error
    return [
        {**dict(row), "cost_usd": None if row["cost_usd"] is None else str(row["cost_usd"])} for row in rows
    ]


async def _user(here: AdminParts, email: str) -> Any:
    try:
        return await here.users.find(email)
    except UnknownUser as error:
        raise HTTPException(404, {"error": str(error), "code": "unknown_user"}) from error
