"""What the provider says of itself: its endpoints and its keys, kept for a while."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import KeySet, OctKey, RSAKey, import_key

from shmastra_cloud.identity.oidc.errors import ProviderAway, ProviderUnsuitable
from shmastra_cloud.oidc_settings import is_safe_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.identity.oidc.config import Config
    from shmastra_cloud.identity.oidc.wire import Wire

log = logging.getLogger(__name__)

# Signatures that only the provider can make: not `none`, nor HS*, for which the client has the key.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
CACHE_SECONDS = 3600
STALE_SECONDS = 24 * 3600
REFETCH_SECONDS = 10
CALL_SECONDS = 12
MANY_KEYS = 64
RSA_BITS = 2048


@dataclass(frozen=True)
class Metadata:
    """The parts of a provider's discovery document that are used; endpoints are URLs."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    algorithms: tuple[str, ...]
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    authenticate_by: str = "client_secret_basic"
    scopes: frozenset[str] = frozenset()
    tells_issuer: bool = False
    offers_pkce: bool = False
    backchannel: bool = False

    @classmethod
    def parse(cls, document: Mapping[str, Any], issuer: str) -> Metadata:
        """Read a discovery document.

        Raises:
            ProviderUnsuitable: it is another issuer's, or lacks what is needed.
        """
        told = document.get("issuer")
        if told != issuer:
            said = repr(told[:200]) if isinstance(told, str) else "nothing"
            raise ProviderUnsuitable(
                f"the provider calls itself {said}, OIDC_ISSUER says {issuer!r}: "
                "they must be equal to the letter"
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_safe_url(document.get(name)):
                raise ProviderUnsuitable(f"the provider's {name} is no https address")
        algorithms = _words(document.get("id_token_signing_alg_values_supported")) or {"RS256"}
        allowed = tuple(name for name in ALGORITHMS if name in algorithms)
        if not allowed:
            raise ProviderUnsuitable(f"the provider signs ID tokens by none of {', '.join(ALGORITHMS)}")
        methods = _words(document.get("token_endpoint_auth_methods_supported")) or {"client_secret_basic"}
        return cls(
            authorization_endpoint=document["authorization_endpoint"],
            token_endpoint=document["token_endpoint"],
            jwks_uri=document["jwks_uri"],
            algorithms=allowed,
            userinfo_endpoint=_optional(document, "userinfo_endpoint"),
            end_session_endpoint=_optional(document, "end_session_endpoint"),
            authenticate_by="client_secret_basic"
            if "client_secret_basic" in methods
            else "client_secret_post",
            scopes=frozenset(_words(document.get("scopes_supported"))),
            tells_issuer=document.get("authorization_response_iss_parameter_supported") is True,
            offers_pkce="S256" in _words(document.get("code_challenge_methods_supported")),
            backchannel=document.get("backchannel_logout_supported") is True,
        )


class Discovery:
    """Fetches metadata and keys, once for all who ask at the same time, and keeps them for an hour.

    Where the provider is away, what was fetched within a day still counts.
    """

    def __init__(self, config: Config, wire: Wire) -> None:
        self._config, self._wire = config, wire
        self._kept: dict[str, tuple[float, Any]] = {}
        self._failed: dict[str, tuple[float, ProviderAway | ProviderUnsuitable]] = {}
        self._refetched = float("-inf")
        self._lock = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """Return what the provider says of itself.

        Raises:
            ProviderAway: it does not answer, and has not for long.
            ProviderUnsuitable: what it says cannot be used.
        """
        url = f"{self._config.issuer.rstrip('/')}/.well-known/openid-configuration"
        found: Metadata = await self._get("metadata", url, newer_than=time.monotonic() - CACHE_SECONDS)
        return found

    async def keys(self, *, fresh: bool = False) -> KeySet:
        """Return the provider's keys; ``fresh`` fetches them again, unless it did so ten seconds ago.

        Raises:
            ProviderAway: it does not answer, and has not for long, or has no key.
            ProviderUnsuitable: what it says of itself cannot be used.
        """
        url, now = (await self.metadata()).jwks_uri, time.monotonic()
        again = fresh and now - self._refetched > REFETCH_SECONDS
        if again:
            self._refetched = now
        found: KeySet = await self._get("keys", url, newer_than=now if again else now - CACHE_SECONDS)
        return found

    async def _get(self, what: str, url: str, *, newer_than: float) -> Any:
        async with self._lock:
            at, kept = self._kept.get(what, (float("-inf"), None))
            now = time.monotonic()
            if at > newer_than:
                return kept
            failed_at, failure = self._failed.get(what, (float("-inf"), None))
            if failure is not None and now - failed_at < REFETCH_SECONDS:
                return self._of_before(what, failure)
            try:
                document = await self._fetch(url)
                made: Any = (
                    Metadata.parse(document, self._config.issuer) if what == "metadata" else key_set(document)
                )
            except (ProviderAway, ProviderUnsuitable) as error:
                self._failed[what] = now, error
                return self._of_before(what, error)
            self._kept[what] = (time.monotonic(), made)
            return made

    def _of_before(self, what: str, error: ProviderAway | ProviderUnsuitable) -> Any:
        """Return what was fetched before, if it still counts; else fail again, without asking."""
        at, kept = self._kept.get(what, (float("-inf"), None))
        if kept is None or time.monotonic() - at > STALE_SECONDS or isinstance(error, ProviderUnsuitable):
            raise type(error)(str(error)) from None
        log.warning("the OpenID provider's %s of before are used: %s", what, error)
        return kept

    async def _fetch(self, url: str) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await self._wire.client().request("GET", url, withhold_token=True)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise ProviderAway(f"{url} does not answer ({type(error).__name__}: {error})") from error
        if answer.status_code != 200:
            raise ProviderAway(f"{url} answers {answer.status_code}")
        return json_object(answer.content, url)


def json_object(body: bytes, what: str) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        ProviderAway: it is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProviderAway(f"{what} answers with no JSON object")
    return found


def key_set(document: Mapping[str, Any]) -> KeySet:
    """Take the public keys for signatures out of a JWKS document; others, and those too weak, are left out.

    Raises:
        ProviderAway: none is left.
    """
    told = document.get("keys")
    keys = []
    for data in told[:MANY_KEYS] if isinstance(told, list) else []:
        if not isinstance(data, dict) or data.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(data)
            weak = isinstance(key, OctKey) or (isinstance(key, RSAKey) and key.raw_value.key_size < RSA_BITS)
        except (JoseError, SecurityWarning, ValueError, TypeError):
            continue
        if not weak:
            keys.append(key)
    if not keys:
        raise ProviderAway("the provider publishes no key that could sign")
    return KeySet(keys)


def _words(value: object) -> set[str]:
    return {word for word in value if isinstance(word, str)} if isinstance(value, list) else set()


def _optional(document: Mapping[str, Any], name: str) -> str | None:
    url = document.get(name)
    return url if is_safe_url(url) else None
