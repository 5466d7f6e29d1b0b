"""How the cloud is seen through its own public address: it asks itself, and tells what of that arrived.

The question carries a seal of the master key, so only a process of this very cloud can ask, and another
cloud under that address cannot answer. The answer comes in two pieces, so that who holds it back is seen.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

from shmastra_cloud.peers import UNIX, client_address, client_scheme, comes_from_proxy
from shmastra_cloud.secrets_at_rest import MasterKeyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings

router = APIRouter()

PATH = "/api/reach"
HEADER = "x-shmastra-reach"
GOOD_SECONDS = 60
REST_SECONDS = 0.5
_PURPOSE = "reach"


@dataclass(frozen=True)
class ReachParts:
    """What this route needs."""

    settings: Settings
    vault: Vault


def question(vault: Vault) -> str:
    """Return what the header holds that asks; it is good for a minute."""
    return base64.urlsafe_b64encode(vault.seal(str(time.time()), _PURPOSE)).decode()


def _asked_by_us(vault: Vault, text: str) -> bool:
    try:
        asked_at = float(vault.open(base64.urlsafe_b64decode(text), _PURPOSE))
    except (MasterKeyError, binascii.Error, ValueError):
        return False
    return abs(time.time() - asked_at) < GOOD_SECONDS


@router.get("/api/reach")
async def reach(request: Request) -> Response:
    """Tell how a request of our own arrived, as a stream of two events."""
    here = cast("ReachParts", request.app.state.reach)
    if not _asked_by_us(here.vault, request.headers.get(HEADER, "")):
        raise HTTPException(404, {"error": "There is nothing here.", "code": "not_found"})
    scope, trusted = request.scope, here.settings.trusted_proxies
    peer = scope.get("client")
    told = {
        "peer": peer[0] if peer else UNIX,
        "client": client_address(scope, trusted),
        "scheme": client_scheme(scope, trusted),
        "host": request.headers.get("host", ""),
        "believed": comes_from_proxy(scope, trusted),
        "forwarded": any(name in request.headers for name in ("x-forwarded-for", "forwarded")),
    }
    return StreamingResponse(
        _events(told), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _events(told: dict[str, object]) -> AsyncIterator[bytes]:
    yield b"event: arrived\ndata: " + json.dumps(told).encode() + b"\n\n"
    await asyncio.sleep(REST_SECONDS)
    yield b"event: end\ndata: {}\n\n"
