"""The moment of coming in: the old session ends, a new one starts, the browser is sent on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import RedirectResponse

from shmastra_cloud.audit import Actor, AuditLog
from shmastra_cloud.database import transaction
from shmastra_cloud.identity.sessions import Device, Provided, cookie_name
from shmastra_cloud.peers import client_address
from shmastra_cloud.returns import forget_return
from shmastra_cloud.web_context import WebContext, token_of

if TYPE_CHECKING:
    from uuid import UUID

    from fastapi import Request, Response


async def _start(here: WebContext, user_id: UUID, device: Device, provided: Provided | None) -> str:
    """Start a session, and with it write down that an admin has come in."""
    async with transaction(here.pool) as pool:
        row = await pool.fetchrow("select email, role from users where id = $1", user_id)
        token = await here.sessions.start(user_id, provided=provided, device=device, pool=pool)
        if row is not None and row["role"] == "admin":
            actor = Actor.of_user(user_id, row["email"], device.address or "")
            await AuditLog(pool).record(actor, "sign-in", by=provided.source if provided else "link")
    return token


async def enter(
    request: Request, here: WebContext, user_id: UUID, place: str, provided: Provided | None = None
) -> Response:
    """Start a session for a user and send his browser to ``place``, which must be a path of ours already.

    A session that the browser had ends, so that a token fixed on it beforehand is worth nothing.
    """
    before = token_of(request)
    if before:
        await here.sessions.end(before)
    address = client_address(request.scope, here.settings.trusted_proxies)
    device = Device(address, request.headers.get("user-agent"))
    token = await _start(here, user_id, device, provided)
    response = RedirectResponse(place, 303)
    https = here.settings.https
    forget_return(response, request.cookies, https=https)
    response.set_cookie(
        cookie_name(https=https),
        token,
        max_age=int(here.sessions.life.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=https,
        path="/",
    )
    return response
