"""What the gateway answers itself goes out here, so that it can be told from what a provider says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shmastra_cloud.gateway.credentials import SANDBOXED
from shmastra_cloud.gateway.formats import error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from shmastra_cloud.gateway.credentials import Headers
    from shmastra_cloud.gateway.errors import GatewayError
    from shmastra_cloud.gateway.formats import Format

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ERROR_HEADER = b"x-shmastra-error"  # taken off what a provider sends, like all that begins so


async def refuse(send: Send, error: GatewayError, style: Format) -> None:
    """Answer with an error in a provider's format; ``x-shmastra-error`` says which one of ours it is."""
    extra = [(ERROR_HEADER, error.code.encode())]
    if not error.retry:
        extra.append((b"x-should-retry", b"false"))  # the official SDKs look at it
    if error.retry_after is not None:
        extra.append((b"retry-after", b"%d" % error.retry_after))
    await send_json(send, error.status, error_body(style, error.status, error.code, str(error)), extra)


async def send_json(send: Send, status: int, body: bytes, extra: Headers | None = None) -> None:
    """Send an answer that is whole."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *SANDBOXED,
        *(extra or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
