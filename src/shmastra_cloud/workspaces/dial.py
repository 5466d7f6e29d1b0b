"""How a sandbox's dev server is reached: an address and the headers that name the sandbox. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from httprelay import Target, without_hops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.settings import Settings

DEV_SERVER_PORT = 4111
Headers = list[tuple[bytes, bytes]]

_NOT_IN = frozenset(
    b"cookie authorization proxy-authorization x-access-token e2b-traffic-access-token x-mastra-auth-token "
    b"forwarded via x-real-ip x-client-ip client-ip true-client-ip x-cluster-client-ip x-original-url "
    b"x-rewrite-url x-http-method-override x-http-method x-method-override host origin referer".split()
)
_NOT_IN_PREFIXES = (b"e2b-", b"x-forwarded-", b"x-shmastra-", b"sec-", b"cf-", b"x-amz", b"x-envoy-")
# What describes the body, and what Mastra's own client reads; anything else could act on the cloud's origin,
# on a cache or a proxy before it.
_MAY_OUT = frozenset(
    b"content-type content-length content-encoding content-language content-disposition content-range "
    b"accept-ranges etag last-modified retry-after allow x-request-id mcp-session-id mcp-protocol-version "
    b"x-vercel-ai-ui-message-stream x-vercel-ai-data-stream deprecation sunset".split()
)
_MAY_OUT_PREFIXES = (b"x-mastra-", b"x-ratelimit-")
_OUT = [
    (b"cache-control", b"private, no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]


class Dial:
    """Turns a sandbox's id into an upstream target, by the configured way to the service."""

    def __init__(self, settings: Settings) -> None:
        self._url = urlsplit(settings.engine_sandbox_url) if settings.engine_sandbox_url else None
        self._domain = settings.e2b_domain or "e2b.app"

    def target(self, sandbox_id: str, host: str | None) -> Target:
        """Return where to connect; ``host`` is the domain that the service gave the sandbox."""
        if self._url is None:
            return Target(f"{DEV_SERVER_PORT}-{sandbox_id}.{host or self._domain}", 443, tls=True)
        tls = self._url.scheme == "https"
        return Target(self._url.hostname or "127.0.0.1", self._url.port or (443 if tls else 80), tls=tls)

    def headers(self, sandbox_id: str, traffic_token: str | None) -> Headers:
        """Return the headers that name the sandbox and open its port."""
        named = [
            (b"e2b-sandbox-id", sandbox_id.encode()),
            (b"e2b-sandbox-port", str(DEV_SERVER_PORT).encode()),
        ]
        if traffic_token:
            named.append((b"e2b-traffic-access-token", traffic_token.encode()))
        return named

    def url(self, sandbox_id: str, host: str | None, path: str) -> str:
        """Return the same address as a URL, for a client that takes one."""
        target = self.target(sandbox_id, host)
        return f"{'https' if target.tls else 'http'}://{target.host}:{target.port}{path}"


def into_sandbox(headers: Headers, own: Headers, mastra_token: str) -> Headers:
    """Return what of a browser's headers may enter a sandbox, and what the cloud adds."""
    passed = [
        (name, value)
        for name, value in without_hops(headers)
        if name not in _NOT_IN and not name.startswith(_NOT_IN_PREFIXES) and b"_" not in name
    ]
    return [*passed, *own, (b"x-mastra-auth-token", mastra_token.encode())]


def out_of_sandbox(headers: Headers) -> Headers:
    """Return what of a sandbox's headers may reach the browser, under a policy that confines the answer."""
    passed = [
        (name, value) for name, value in headers if name in _MAY_OUT or name.startswith(_MAY_OUT_PREFIXES)
    ]
    return [*passed, *_OUT]


def as_text(headers: Headers) -> Mapping[str, str]:
    """Return headers for a client that takes text."""
    return {name.decode(): value.decode() for name, value in headers}
