"""How the provider is spoken to: through Authlib's client, over a transport that neither swells nor hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuth2ClientAuth

if TYPE_CHECKING:
    from shmastra_cloud.identity.oidc.config import Config

ANSWER_BYTES = 512 * 1024
TIMEOUT = httpx2.Timeout(10, connect=5)
CONNECTIONS = httpx2.Limits(max_connections=20, max_keepalive_connections=5)


class Bounded(httpx2.AsyncBaseTransport):
    """Passes requests on and reads at most ``limit`` bytes of an answer; closing it closes nothing."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, limit: int = ANSWER_BYTES) -> None:
        self._inner, self._limit = inner, limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request with its body read.

        Raises:
            httpx2.ReadError: the answer is too long, or packed, so that it could become so.
        """
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx2.ReadError("the answer is packed", request=request)
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > self._limit:
                    raise httpx2.ReadError("the answer is too long", request=request)
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.raw if pair[0].lower() != b"transfer-encoding"]
        return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=request)

    async def aclose(self) -> None:
        """Leave the shared connections to who owns them."""


class Wire:
    """Connections to the provider, shared by calls each of which has a client of its own.

    Authlib's client remembers the last token that it was given, so one for several people could mix them up.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._shared = httpx2.AsyncHTTPTransport(limits=CONNECTIONS)
        self._bounded = Bounded(self._shared)

    def client(self) -> AsyncOAuth2Client:
        """Return a client for one call."""
        return AsyncOAuth2Client(
            client_id=self._config.client_id,
            client_secret=self._config.client_secret,
            code_challenge_method="S256",
            redirect_uri=self._config.redirect_uri,
            transport=self._bounded,
            timeout=TIMEOUT,
            trust_env=False,
            follow_redirects=False,
        )

    def authentication(self, method: str) -> Any:
        """Return how this client says who it is, by ``client_secret_basic`` or ``client_secret_post``.

        The former has both parts form-encoded (RFC 6749, 2.3.1), which Authlib leaves to its caller.
        """
        client_id, secret = self._config.client_id, self._config.client_secret
        if method == "client_secret_post":
            return OAuth2ClientAuth(client_id, secret, method)
        return httpx2.BasicAuth(quote(client_id, safe=""), quote(secret, safe=""))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._shared.aclose()
