"""``/studio``: the page for a user whose sandbox is ready, its assets, and its refresh stream."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sse_starlette import EventSourceResponse

from shmastra_cloud.draining import Draining
from shmastra_cloud.identity import User
from shmastra_cloud.safe_headers import permissions
from shmastra_cloud.studio.bundle import Bundle
from shmastra_cloud.web_context import Admitted, admitted, to_sign_in, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

router = APIRouter()

IMMUTABLE = "private, max-age=31536000, immutable"


@dataclass(frozen=True)
class StudioParts:
    """What the routes of this feature need.

    ``opened`` says that a page of Studio's was opened; ``note`` is shown above Studio, where there is one.
    """

    bundle: Bundle
    is_ready: Callable[[UUID], Awaitable[bool]]
    opened: Callable[[UUID], None]
    note: str | None = None
    draining: Draining = field(default_factory=Draining)


def parts(request: Request) -> StudioParts:
    """Return the process's parts of this feature; a FastAPI dependency."""
    return cast("StudioParts", request.app.state.studio)


Parts = Annotated[StudioParts, Depends(parts)]


@router.get("/studio/refresh-events")
async def refresh_events(here: Parts, who: Annotated[Admitted, Depends(admitted)]) -> Response:
    """Keep Studio's own stream open here, so that it keeps no sandbox awake."""
    return EventSourceResponse(_refreshes(here.draining, who), ping=15)


async def _refreshes(draining: Draining, who: Admitted) -> AsyncIterator[dict[str, str]]:
    ended = asyncio.Event()
    with who.stream(ended.set):
        yield {"data": "connected"}
        waiting = [asyncio.ensure_future(one.wait()) for one in (draining, ended)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()


@router.get("/studio")
@router.get("/studio/{path:path}")
async def studio(
    request: Request,
    here: Parts,
    user: Annotated[User | None, Depends(visitor)],
    path: str = "",
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """Answer with an asset, or with the page for any other path under ``/studio``."""
    if user is None:
        return to_sign_in(request)
    if here.bundle.has(path):
        return await _asset(here.bundle, path, gzipped="gzip" in accept_encoding)
    if not await here.is_ready(user.id):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/workspace?returnTo={quote(wanted, safe='')}", 302)
    here.opened(user.id)
    nonce = secrets.token_urlsafe(16)
    return HTMLResponse(
        here.bundle.page(nonce, here.note),
        headers={
            "content-security-policy": _csp(nonce),
            "permissions-policy": permissions("microphone", "autoplay"),
        },
    )


async def _asset(bundle: Bundle, name: str, *, gzipped: bool) -> Response:
    asset = await asyncio.to_thread(bundle.asset, name)
    headers = {"cache-control": IMMUTABLE, "vary": "accept-encoding"}
    if gzipped and asset.compressed is not None:
        return Response(asset.compressed, 200, {**headers, "content-encoding": "gzip"}, asset.media_type)
    return Response(asset.body, 200, headers, asset.media_type)


def _csp(nonce: str) -> str:
    """Return Studio's policy: scripts of the bundle only, never one that comes from a sandbox on this origin.

    It sets styles of single elements, plays what an agent says, and shows pictures of a sandbox's.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self' 'nonce-{nonce}'; "
        "style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "media-src 'self' data: blob:; connect-src 'self'; worker-src blob:; manifest-src 'self'; "
        "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
