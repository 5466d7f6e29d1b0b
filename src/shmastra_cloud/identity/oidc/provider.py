"""The provider, asked: for the address to sign in at, for tokens, for what they say, again and again."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError

from shmastra_cloud.identity.oidc.claims import MISSING, value_of
from shmastra_cloud.identity.oidc.config import Config
from shmastra_cloud.identity.oidc.discovery import Discovery, Metadata, json_object
from shmastra_cloud.identity.oidc.errors import BadToken, ProviderAway, Refused, UnknownKey
from shmastra_cloud.identity.oidc.tokens import read_id_token, read_logout_token
from shmastra_cloud.identity.oidc.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from joserfc.jwk import KeySet

    from shmastra_cloud.identity.oidc.attempt import Attempt

CALL_SECONDS = 12
HINT_CHARACTERS = 6000
TOKEN_CHARACTERS = 16 * 1024
_CODE = re.compile(r"[a-z_]{1,40}")
# Said of a person, or his session there, who is no longer good: RFC 6749, 5.2; OpenID Connect Core, 3.1.2.6.
FINAL = frozenset(
    {"invalid_grant", "access_denied", "login_required", "consent_required", "interaction_required"}
)


@dataclass(frozen=True)
class Tokens:
    """What the provider gave: ``claims`` are those of a verified ID token, empty where it gave none."""

    access_token: str
    claims: Mapping[str, Any]
    id_token: str | None = None
    refresh_token: str | None = None


class Provider:
    """One client at one issuer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._wire = Wire(config)
        self.discovery = Discovery(config, self._wire)

    async def authorization_url(self, attempt: Attempt, *, other: bool = False) -> str:
        """Return where a browser signs in; ``other``: with a password anew, whoever is signed in there.

        Raises:
            ProviderAway: the provider does not answer.
            ProviderUnsuitable: what it says of itself cannot be used.
        """
        metadata = await self.discovery.metadata()
        url, _ = self._wire.client().create_authorization_url(
            metadata.authorization_endpoint,
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.verifier,
            scope=self.config.scopes_at(metadata.scopes),
            **({"prompt": "login"} if other else {}),
        )
        return str(url)

    async def redeem(self, code: str, attempt: Attempt) -> Tokens:
        """Exchange a code for tokens, with an ID token that was made for this attempt.

        Raises:
            Refused: the provider does not know the code, or not with this attempt's verifier.
            BadToken: it gave no ID token that can be believed.
            ProviderAway: it does not answer.
        """
        metadata = await self.discovery.metadata()
        client = self._wire.client()
        given = await self._answered(
            client.fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
                auth=self._wire.authentication(metadata.authenticate_by),
            )
        )
        tokens = await self._read(given, nonce=attempt.nonce)
        if not tokens.claims:
            raise BadToken("the provider gave no ID token")
        return tokens

    async def refresh(self, refresh_token: str, sub: str) -> Tokens:
        """Ask with a refresh token whether a person is still good.

        Raises:
            Refused: he is not, or (see ``final``) something is wrong with this client.
            BadToken: the answer is about somebody else, or cannot be believed.
            ProviderAway: the provider does not answer.
        """
        metadata = await self.discovery.metadata()
        given = await self._answered(
            self._wire.client().refresh_token(
                metadata.token_endpoint,
                refresh_token=refresh_token,
                auth=self._wire.authentication(metadata.authenticate_by),
            )
        )
        tokens = await self._read(given, nonce=None)
        if tokens.claims and tokens.claims["sub"] != sub:
            raise BadToken("the refreshed ID token is somebody else's")
        return tokens

    async def claims(self, tokens: Tokens, sub: str, wanted: Collection[str]) -> Mapping[str, Any]:
        """Return what is known of a person: the ID token, and userinfo where that lacks something wanted.

        Raises:
            BadToken: userinfo is about somebody else.
            ProviderAway: the provider does not answer.
        """
        metadata = await self.discovery.metadata()
        lacking = [name for name in wanted if value_of(tokens.claims, name) is MISSING]
        if not lacking or metadata.userinfo_endpoint is None:
            return tokens.claims
        client = self._wire.client()
        client.token = {"access_token": tokens.access_token, "token_type": "Bearer"}
        answer = await self._answered(client.get(metadata.userinfo_endpoint))
        if answer.status_code in (401, 403):
            raise Refused("access_denied")
        if answer.status_code != 200:
            raise ProviderAway(f"userinfo answers {answer.status_code}")
        told = json_object(answer.content, "userinfo")
        if told.get("sub") != sub:
            raise BadToken("userinfo is somebody else's")
        return {**told, **tokens.claims}

    async def logout_claims(self, token: object) -> dict[str, Any]:
        """Return the claims of a logout token that the provider sent.

        Raises:
            BadToken: it is none, or not for this client.
            ProviderAway: the provider's keys cannot be had.
        """
        return await self._verified(
            lambda keys, metadata: read_logout_token(token, keys, metadata.algorithms, self.config)
        )

    async def sign_out_url(self, id_token: str | None) -> str | None:
        """Return where a browser is signed out at the provider too, or None where it has no such place."""
        endpoint = (await self.discovery.metadata()).end_session_endpoint
        if endpoint is None:
            return None
        given = {"client_id": self.config.client_id, "post_logout_redirect_uri": f"{self.config.public_url}/"}
        if id_token and len(id_token) <= HINT_CHARACTERS:
            given["id_token_hint"] = id_token
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(given)}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()

    async def _answered(self, call: Awaitable[Any]) -> Any:
        """Wait for a call, and say in our words how it failed; nothing of what the provider wrote is kept."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call
        except AuthlibBaseError as error:
            code = error.error if isinstance(error.error, str) else ""
            raise Refused(code if _CODE.fullmatch(code) else "unknown") from None
        except httpx2.HTTPStatusError as error:
            raise ProviderAway(f"the provider answers {error.response.status_code}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise ProviderAway(f"the provider does not answer ({type(error).__name__})") from None
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise ProviderAway(f"the provider's answer is none ({type(error).__name__})") from None

    async def _read(self, given: Mapping[str, Any], nonce: str | None) -> Tokens:
        access_token, id_token = given.get("access_token"), given.get("id_token")
        refresh_token = given.get("refresh_token")
        if not isinstance(access_token, str) or not access_token:
            raise ProviderAway("the provider's answer holds no access token")
        claims: dict[str, Any] = {}
        if id_token is not None or nonce is not None:
            claims = await self._verified(
                lambda keys, metadata: read_id_token(
                    id_token, keys, metadata.algorithms, self.config, nonce=nonce, access_token=access_token
                )
            )
        lasting = isinstance(refresh_token, str) and 0 < len(refresh_token) <= TOKEN_CHARACTERS
        return Tokens(access_token, claims, id_token, refresh_token if lasting else None)

    async def _verified(self, read: Callable[[KeySet, Metadata], dict[str, Any]]) -> dict[str, Any]:
        """Read a token; where its key is unknown, with keys that are fetched again."""
        metadata = await self.discovery.metadata()
        try:
            return read(await self.discovery.keys(), metadata)
        except UnknownKey:
            return read(await self.discovery.keys(fresh=True), metadata)


def is_final(error: Refused) -> bool:
    """Tell whether a refusal is about the person, and not about this client or the moment."""
    return error.code in FINAL
