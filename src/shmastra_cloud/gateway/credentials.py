"""The virtual key of a request: where it may stand, and what may go on to a provider without it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from httprelay import without_hops
from shmastra_cloud.gateway.errors import InvalidKey

if TYPE_CHECKING:
    from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

KEY = re.compile(rb"vk_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}_[0-9a-f]{32,128}")
PURPOSES = {b"agent": "agent", b"assistant": "assistant", b"healer": "healer"}
_TELLING = frozenset((b"authorization", b"x-api-key", b"x-goog-api-key", b"x-shmastra-purpose"))
_QUERY_SECRETS = frozenset((b"key", b"api_key", b"access_token", b"oauth_token", b"token", b"$key"))
# Identity and topology of ours, other ways to name a method or an account, and what only browsers send.
_DROPPED = frozenset(
    b"authorization x-api-key x-goog-api-key api-key cookie cookie2 forwarded via host content-length "
    b"accept-encoding origin referer x-real-ip x-client-ip true-client-ip client-ip x-mastra-auth-token "
    b"x-access-token x-http-method-override x-http-method x-method-override x-original-url x-rewrite-url "
    b"openai-organization openai-project x-goog-user-project x-user-api-key x-org-api-key x-request-id "
    b"traceparent tracestate baggage".split()
)
_DROPPED_STARTS = (
    b"e2b-",
    b"x-forwarded-",
    b"x-shmastra-",
    b"sec-",
    b"cf-",
    b"proxy-",
    b"x-envoy-",
    b"x-amz-",
)
_ANSWER_DROPPED = frozenset(
    b"set-cookie set-cookie2 location refresh alt-svc strict-transport-security clear-site-data nel "
    b"report-to reporting-endpoints openai-organization openai-project anthropic-organization-id server via "
    b"service-worker-allowed content-security-policy x-content-type-options www-authenticate link date "
    b"cache-control expires x-sendfile cross-origin-resource-policy".split()
)
_ANSWER_DROPPED_STARTS = (b"access-control-", b"cf-", b"x-accel-", b"x-lighttpd-", b"x-shmastra-")
_KNOWN, _KNOWN_BYTES = 1024, 64  # names of headers that are remembered
SANDBOXED = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class _Passing(dict[bytes, bool]):
    """Whether a header may go on, by its name; names that come again are not looked at again."""

    def __init__(self, dropped: frozenset[bytes], starts: tuple[bytes, ...], *, underscores: bool) -> None:
        super().__init__()
        self._dropped, self._starts, self._underscores = dropped, starts, underscores

    def __missing__(self, name: bytes) -> bool:
        passes = name not in self._dropped and not name.startswith(self._starts)
        passes = passes and (self._underscores or b"_" not in name)
        if len(self) >= _KNOWN:
            self.clear()
        if len(name) <= _KNOWN_BYTES:
            self[name] = passes
        return passes


_TO_PROVIDER = _Passing(_DROPPED, _DROPPED_STARTS, underscores=False)
_TO_CLIENT = _Passing(_ANSWER_DROPPED, _ANSWER_DROPPED_STARTS, underscores=True)


class Presented(NamedTuple):
    """A request's virtual key: itself, to keep it from the provider, and its hash, to look it up."""

    key: bytes
    purpose: str

    @property
    def hash(self) -> bytes:
        """What the key is looked up by."""
        return key_hash(self.key)


def key_hash(key: bytes) -> bytes:
    """Return what a key is looked up by."""
    return hashlib.sha256(key).digest()


def presented(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> Presented:
    """Read the virtual key from the four places where it may stand.

    Raises:
        InvalidKey: there is none, it is not one of ours, or there are two.

    """
    found: set[bytes] = set()
    purpose = "agent"
    for name, value in headers:
        if name not in _TELLING:
            continue
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found.add(token.strip())
        elif name != b"x-shmastra-purpose":
            found.add(value.strip())
        else:
            purpose = PURPOSES.get(value, purpose)
    if query:
        found.update(value for name, value, _ in pairs(query) if name == b"key")
    found.discard(b"")
    if len(found) > 1:
        raise InvalidKey("The request carries two different keys; send one.")
    if not found:
        raise InvalidKey("The request carries no key; send the workspace's virtual key.")
    key = found.pop()
    if not KEY.fullmatch(key):
        raise InvalidKey("The key is not a virtual key of this cloud.")
    return Presented(key, purpose)


def query_for_provider(query: bytes, key: bytes) -> bytes:
    """Return the query without credentials, in whatever spelling they stand there."""
    if not query:
        return b""
    kept = [
        piece
        for name, value, piece in pairs(query)
        if name.lower() not in _QUERY_SECRETS and key not in value and key not in name
    ]
    return b"&".join(kept)


def headers_for_provider(headers: Iterable[tuple[bytes, bytes]], key: bytes) -> Headers:
    """Return what may go on to a provider; the real key is added by the caller."""
    kept = [pair for pair in without_hops(headers) if _TO_PROVIDER[pair[0]] and key not in pair[1]]
    kept.append((b"accept-encoding", b"identity"))  # what is compressed cannot be metered
    return kept


def headers_for_client(headers: Headers, real_keys: tuple[bytes, ...]) -> Headers:
    """Return what of a provider's headers may reach a client, on an origin where pages of ours live."""
    kept = [pair for pair in headers if _TO_CLIENT[pair[0]]]
    whole = b"\n".join([value for _, value in kept])
    for real in real_keys:
        if real in whole:
            kept = [(name, value) for name, value in kept if real not in value]
    return kept + SANDBOXED


def pairs(query: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return a query's names and values, decoded, each with the piece of the query that it stands in."""
    found = []
    for piece in query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if piece:
            found.append((unquote_to_bytes(name), unquote_to_bytes(value), piece))
    return found
