"""The start-up page, what it asks for, and what a sandbox's healer reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse

from shmastra_cloud.draining import Draining
from shmastra_cloud.identity import User
from shmastra_cloud.pages import page
from shmastra_cloud.returns import safe_return
from shmastra_cloud.web_context import Admitted, admitted, signed_in, to_sign_in, visitor
from shmastra_cloud.workspaces.errors import IllegalTransition
from shmastra_cloud.workspaces.status import MAX_ATTEMPTS, Status, check_report, check_transition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from shmastra_cloud.activity import Activity
    from shmastra_cloud.workspaces.resume import Resumer
    from shmastra_cloud.workspaces.store import Workspace, Workspaces
    from shmastra_cloud.workspaces.watch import Watch

router = APIRouter()
heal_router = APIRouter()

STREAM_SECONDS = 25.0


@dataclass(frozen=True)
class WorkspaceParts:
    """What the routes of this feature need."""

    store: Workspaces
    watch: Watch
    resumer: Resumer
    activity: Activity
    key_owner: Callable[[str], Awaitable[UUID | None]]
    note: str | None = None
    draining: Draining = field(default_factory=Draining)


class ConfirmReset(BaseModel):
    """The body of a reset: the user's own email, typed."""

    confirm: str = Field(max_length=320)


class HealReport(BaseModel):
    """What a healer reports about its sandbox."""

    status: str = Field(max_length=40)
    error: str | None = Field(None, max_length=4000)
    attempt: int = Field(1, ge=1, le=MAX_ATTEMPTS)


def parts(request: Request) -> WorkspaceParts:
    """Return the process's parts of this feature; a FastAPI dependency."""
    return cast("WorkspaceParts", request.app.state.workspaces)


Mine = Annotated[User, Depends(signed_in)]
Parts = Annotated[WorkspaceParts, Depends(parts)]


@router.get("/workspace")
async def workspace_page(
    request: Request,
    here: Parts,
    user: Annotated[User | None, Depends(visitor)],
    returnTo: str | None = None,  # noqa: N803
) -> Response:
    """Show how the sandbox comes up; go on to Studio as soon as it is ready."""
    if user is None:
        return to_sign_in(request)
    here.activity.note(user.id, "workspace page")
    workspace = await here.store.ensure(user.id)
    if workspace.status == "paused":
        await here.resumer.resume(user.id, "the workspace was opened")
        workspace = await here.store.get(user.id)
    if workspace.status == "ready":
        return RedirectResponse(safe_return(returnTo), 302)
    return page("workspace.html", email=user.email, note=here.note, return_to=safe_return(returnTo))


@router.get("/api/sandbox/status")
async def status(here: Parts, user: Mine) -> Response:
    """Tell where the sandbox stands, and want one."""
    return JSONResponse(await _describe(here, await here.store.ensure(user.id)))


@router.get("/api/sandbox/events")
async def events(here: Parts, who: Annotated[Admitted, Depends(admitted)]) -> Response:
    """Stream one ``status`` event per change, the present one first."""
    await here.store.ensure(who.user.id)
    return EventSourceResponse(_changes(here, who), ping=15)


async def _changes(here: WorkspaceParts, who: Admitted) -> AsyncIterator[dict[str, str]]:
    user_id, last = who.user.id, ""
    with who.stream(lambda: here.watch.changed(str(user_id))) as stream:
        while not here.draining.begun:  # a browser asks again, and is answered by another process
            workspace = await here.watch.find(user_id)
            if workspace is None:
                return
            data = json.dumps(await _describe(here, workspace))
            if data != last and stream.error is None:
                last = data
                yield {"event": "status", "data": data}
            if stream.error is not None:
                yield {"event": "signed_out", "data": "{}"}
                return
            await here.watch.wait(user_id, STREAM_SECONDS)


async def _describe(here: WorkspaceParts, workspace: Workspace) -> dict[str, Any]:
    return {
        "status": workspace.status,
        "stage": workspace.stage,
        "error": workspace.error,
        "since": workspace.status_since.isoformat(),
        "version": workspace.version,
        "attempt": workspace.attempt,
        "events": [
            {**dict(event), "created_at": event["created_at"].isoformat()}
            for event in await here.store.events(workspace.id)
        ],
    }


@router.post("/api/sandbox/awake", status_code=204)
async def awake(here: Parts, user: Mine) -> Response:
    """Take a page's word that it is visible: its reads now count as activity for two minutes."""
    here.activity.saw_page(user.id)
    return Response(status_code=204)


@router.post("/api/sandbox/retry", status_code=202)
async def retry(here: Parts, user: Mine) -> Response:
    """Try again after three failed attempts."""
    return await _restart(here, user, "the user asked for another try")


@router.post("/api/sandbox/restart", status_code=202)
async def restart(here: Parts, user: Mine) -> Response:
    """Start the dev server anew; files stay."""
    return await _restart(here, user, "the user asked for a restart")


@router.post("/api/sandbox/reset", status_code=202)
async def reset(here: Parts, user: Mine, body: ConfirmReset) -> Response:
    """Begin again with an empty sandbox; needs the user's own email typed as confirmation."""
    if body.confirm.strip().lower() != user.email:
        raise HTTPException(
            400,
            {"error": "Type your own email to confirm that all files are deleted.", "code": "unconfirmed"},
        )
    await here.store.want_reset(await here.store.ensure(user.id))
    return await _restart(here, user, "the user asked for a reset")


async def _restart(here: WorkspaceParts, user: User, reason: str) -> Response:
    workspace = await here.store.ensure(user.id)
    if workspace.status != "provisioning":
        await _move(here, workspace, "provisioning", actor=user.email, reason=reason)
    return JSONResponse({"status": "provisioning"}, 202)


async def _move(  # noqa: PLR0913 -- a change has this many parts
    here: WorkspaceParts,
    workspace: Workspace,
    wanted: Status,
    *,
    actor: str,
    reason: str,
    error: str | None = None,
    attempt: int = 1,
    check: Callable[[Status, Status], None] = check_transition,
) -> None:
    try:
        await here.store.move(
            workspace,
            wanted,
            actor=actor,
            reason=reason,
            error=error,
            attempt=attempt,
            under_lease=False,
            check=check,
        )
    except IllegalTransition as problem:
        raise HTTPException(409, {"error": str(problem), "code": "illegal_transition"}) from problem


@heal_router.post("/api/sandbox/heal")
async def heal(request: Request, here: Parts) -> Response:
    """Take a healer's report about its own sandbox."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    owner = await here.key_owner(key.strip()) if scheme.lower() == "bearer" and key else None
    if owner is None:
        raise HTTPException(401, {"error": "This virtual key is not known.", "code": "unknown_key"})
    try:
        report = HealReport.model_validate_json(await request.body())
    except ValueError as problem:
        raise HTTPException(400, {"error": "The report is malformed.", "code": "bad_report"}) from problem
    wanted = report.status
    if wanted not in ("healing", "ready", "broken"):
        raise HTTPException(400, {"error": "status must be healing, ready or broken.", "code": "bad_status"})
    await _take_report(here, await here.store.ensure(owner), cast("Status", wanted), report)
    return JSONResponse({"status": wanted})


async def _take_report(
    here: WorkspaceParts, workspace: Workspace, wanted: Status, report: HealReport
) -> None:
    """Record what is news: another status, or another attempt, whose time begins anew."""
    if workspace.status == wanted and not (wanted == "healing" and report.attempt > workspace.attempt):
        return
    await _move(
        here,
        workspace,
        wanted,
        actor="healer",
        reason=f"the healer reports {wanted} (attempt {report.attempt})",
        error=_storable(report.error),
        attempt=report.attempt,
        check=check_report,
    )


def _storable(text: str | None) -> str | None:
    """Return a text without the one character that Postgres stores in none; logs may hold it."""
    return text and text.replace("\x00", "\ufffd")
