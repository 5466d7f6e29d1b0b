"""What every answer on the cloud's origin says to a browser, unless it says so itself; the only place for it.

The gateway has headers of its own, since none of its answers is for a browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.web_process import GATEWAY

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from shmastra_cloud.web_process import Asgi, Receive, Scope, Send

_POWERS = [
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
]


def permissions(*own: str) -> str:
    """Return a ``Permissions-Policy`` that leaves pages those powers only that are named, for themselves."""
    return ", ".join(f"{power}={'(self)' if power in own else '()'}" for power in _POWERS)


# Pages name their origin to this one only: a change is believed by it (docs/decisions/003).
DEFAULTS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": permissions(),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "origin-agent-cluster": "?1",
    "content-security-policy": "default-src 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_STARTS = ("http.response.start", "websocket.http.response.start")


class SafeHeaders:
    """Adds to each answer of an application what it does not say itself; not to the gateway's."""

    def __init__(self, app: Asgi, *, https: bool) -> None:
        self._app = app
        self._defaults = [(name.encode(), value.encode()) for name, value in DEFAULTS.items()]
        if https:
            self._defaults.append(_HSTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith(GATEWAY):
            await self._app(scope, receive, send)
            return

        async def adding(message: MutableMapping[str, Any]) -> None:
            if message["type"] in _STARTS:
                headers = list(message.get("headers", ()))
                said = {name for name, _ in headers}
                message["headers"] = headers + [pair for pair in self._defaults if pair[0] not in said]
            await send(message)

        await self._app(scope, receive, adding)
