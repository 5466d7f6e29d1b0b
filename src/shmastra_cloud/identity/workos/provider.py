"""WorkOS as this cloud needs it, through its SDK; every answer is bounded in time and every error is ours."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwt.exceptions import PyJWKClientConnectionError, PyJWTError
from workos import AsyncWorkOSClient
from workos.session import (
    AuthenticateWithSessionCookieErrorResponse,
    seal_session_from_auth_response,
    unseal_data,
)

from shmastra_cloud.identity.workos.errors import (
    Away,
    BadWebhook,
    KeyRefused,
    NotMember,
    Refused,
    Unverified,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from workos.user_management.models import AuthenticateResponse

    from shmastra_cloud.identity import Device
    from shmastra_cloud.settings import Settings

log = logging.getLogger(__name__)

API = "https://api.workos.com"
REQUEST_SECONDS = 5
ASK_SECONDS = 10
LIST_SECONDS = 120
RETRIES = 1
SKEW_SECONDS = 60
PAGE = 100
WEBHOOK_SECONDS = 180  # the SDK's own DEFAULT_TOLERANCE
OUR_FAULT = frozenset({"invalid_client", "unauthorized_client"})
MEMBERSHIPS = ("user_management", "organization_memberships")
SELECTION = "organization_selection_required"
EVENTS = (
    "organization_membership.created",
    "organization_membership.updated",
    "organization_membership.deleted",
    "session.revoked",
    "user.deleted",
    "user.updated",
)

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """Somebody whom WorkOS has signed in and who is a member; ``sealed`` opens his session there again."""

    id: str
    email: str
    roles: frozenset[str]
    session: str
    sealed: str


class Provider:
    """Asks WorkOS.

    Every method raises :class:`Away` where no usable answer came within ``ASK_SECONDS`` (network, 429, 5xx,
    one retry included) and :class:`KeyRefused` where our API key or client id is not accepted.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.workos_api_key is not None  # noqa: S101 -- the settings hold all four or none
        assert settings.workos_organization_id is not None  # noqa: S101
        assert settings.workos_cookie_password is not None  # noqa: S101
        self.organization = settings.workos_organization_id
        self._webhook_secret = settings.workos_webhook_secret
        self._seal = sealing_key(settings.workos_cookie_password.get_secret_value(), b"sealed session")
        self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=20), follow_redirects=False)
        self._client = AsyncWorkOSClient(
            api_key=settings.workos_api_key.get_secret_value(),
            client_id=settings.workos_client_id,
            base_url=settings.workos_base_url or API,
            request_timeout=REQUEST_SECONDS,
            max_retries=RETRIES,
            jwt_leeway=SKEW_SECONDS,
            http_client=self._http,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def authorization_url(self, redirect_uri: str) -> tuple[str, str, str]:
        """Return where a browser signs in, the state it must come back with, and the PKCE verifier."""
        pkce = self._client.pkce.generate()
        state = self._client.pkce.generate_code_verifier()
        url = self._client.user_management.get_authorization_url(
            provider="authkit",
            organization_id=self.organization,
            redirect_uri=redirect_uri,
            state=state,
            code_challenge=pkce.code_challenge,
            code_challenge_method="S256",
        )
        return url, state, pkce.code_verifier

    def logout_url(self, session: str, return_to: str) -> str:
        """Return where a browser is sent so that its session at WorkOS ends."""
        return self._client.user_management.get_logout_url(session_id=session, return_to=return_to)

    async def by_code(self, code: str, verifier: str, device: Device) -> Member:
        """Return who came back from WorkOS with a code.

        Raises:
            Refused: the code was used, has expired or belongs to another verifier.
            Unverified: his email is not verified.
            NotMember: he has no active membership.
        """
        return await self._member(
            self._client.user_management.authenticate_with_code_pkce(
                code=code, code_verifier=verifier, ip_address=device.address, user_agent=device.agent
            )
        )

    async def by_email(self, email: str, code: str, device: Device) -> Member:
        """Return who typed the code that was sent to his email; raises what :meth:`by_code` does."""
        return await self._member(
            self._client.user_management.authenticate_with_magic_auth(
                email=email, code=code, ip_address=device.address, user_agent=device.agent
            )
        )

    async def again(self, sealed: str) -> Member:
        """Renew a session at WorkOS, if it still stands there; raises what :meth:`by_code` does.

        WorkOS takes each refresh token once: what is returned must be stored in the place of what was given.
        """
        try:
            token = str(unseal_data(sealed, self._seal)["refresh_token"])
        except Exception:  # noqa: BLE001 -- sealed under another password, or nothing we ever sealed
            raise Refused("The stored session cannot be opened.", "unreadable") from None
        return await self._member(
            self._client.user_management.authenticate_with_refresh_token(
                refresh_token=token, organization_id=self.organization
            )
        )

    async def user_with(self, email: str) -> str | None:
        """Return the id of the user with that email, if there is one."""

        async def found() -> str | None:
            users, _ = await self._listed("user_management", "users", email=email, limit=2)
            return next((str(one["id"]) for one in users if one["email"].lower() == email.lower()), None)

        return await self._ask(found())

    async def send_code(self, email: str) -> None:
        """Have WorkOS mail a code of six digits, for ten minutes; an unknown email becomes a user there."""
        await self._ask(self._client.user_management.create_magic_auth(email=email))

    async def roles(self, user: str) -> frozenset[str] | None:
        """Return the slugs of a user's roles in our organization, or None if he is no active member."""
        try:
            found, _ = await self._ask(self._members(user_id=user))
        except Refused as error:
            if error.code == "entity_not_found":  # he was deleted
                return None
            raise
        return found.get(user)

    async def standing(self, user: str, session: str) -> frozenset[str]:
        """Return the slugs of a member's roles, if that session of his still stands; it is not renewed.

        Raises:
            Refused: the session has ended.
            NotMember: he has no active membership.
        """
        found, _ = await self._ask(
            self._listed("user_management", "users", user, "sessions", limit=PAGE, order="desc")
        )
        if not any(one.get("id") == session and one.get("status") == "active" for one in found):
            raise Refused("The session has ended.", "ended")
        roles = await self.roles(user)
        if roles is None:
            raise NotMember("He is no member of this organization any more.", session)
        return roles

    async def everybody(self) -> Mapping[str, frozenset[str]]:
        """Return all active members of our organization with the slugs of their roles."""

        async def all_pages() -> dict[str, frozenset[str]]:
            members: dict[str, frozenset[str]] = {}
            after: dict[str, str] = {}
            while True:
                found, cursor = await self._members(**after)
                members |= found
                if cursor is None or after.get("after") == cursor:
                    return members
                after = {"after": cursor}

        return await self._ask(all_pages(), LIST_SECONDS)

    async def events(self, after: str | None, since: str) -> list[dict[str, Any]]:
        """Return the next events of :data:`EVENTS`, oldest first, at most ``PAGE``.

        ``after`` is the last one's id, ``since`` (ISO 8601 with Z) counts where there is none. They come as
        WorkOS wrote them, so that one of a form that the SDK does not know keeps none behind it.

        Raises:
            Refused: WorkOS does not know the event ``after`` any more.
        """
        begin = {"after": after} if after else {"range_start": since}
        asked = self._listed("events", events=",".join(EVENTS), limit=PAGE, order="asc", **begin)
        return (await self._ask(asked))[0]

    async def organization_name(self) -> str:
        """Return our organization's name.

        Raises:
            Refused: there is no such organization under this API key.
        """

        async def name() -> str:
            return (await self._client.organizations.get_organization(self.organization)).name

        return await self._ask(name())

    async def knows_client(self) -> None:
        """Ask for the keys that access tokens of our client id are signed with.

        Raises:
            Refused: WorkOS does not know the client id.
        """
        await self._ask(self._client.request_raw("get", ("sso", "jwks", str(self._client.client_id))))

    def delivered(self, body: bytes, signature: str) -> dict[str, Any]:
        """Return the event in a webhook's body.

        Raises:
            BadWebhook: WorkOS did not sign these bytes within the last three minutes, or we have no secret.
        """
        if self._webhook_secret is None:
            raise BadWebhook("WORKOS_WEBHOOK_SECRET is not set.")
        try:
            self._client.webhooks.verify_header(
                event_body=body,
                event_signature=signature,
                secret=self._webhook_secret.get_secret_value(),
                tolerance=WEBHOOK_SECONDS,
            )
            event = json.loads(body)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise BadWebhook("The signature does not fit.") from None
        if not isinstance(event, dict):
            raise BadWebhook("This is no event.")
        return event

    async def _member(self, asked: Awaitable[AuthenticateResponse]) -> Member:
        answer = await self._selected(_whole(asked))
        if not answer.user.email_verified:
            raise Unverified(f"WorkOS has not verified {answer.user.email}.")
        session, sealed = await self._sealed(answer)
        roles = await self.roles(answer.user.id)
        if roles is None:
            raise NotMember(f"{answer.user.email} is no member of this organization.", session)
        if answer.organization_id != self.organization:  # so that the organization's own rules are applied
            asked = self._client.user_management.authenticate_with_refresh_token(
                refresh_token=answer.refresh_token, organization_id=self.organization
            )
            answer = await self._ask(_whole(asked))
            session, sealed = await self._sealed(answer)
        return Member(answer.user.id, answer.user.email, roles, session, sealed)

    async def _selected(self, asked: Awaitable[AuthenticateResponse]) -> AuthenticateResponse:
        """Return the answer; who belongs to several organizations is asked which one, and it is ours."""
        try:
            return await self._ask(asked)
        except _Selection as pending:
            return await self._ask(
                self._client.user_management.authenticate_with_organization_selection(
                    pending_authentication_token=pending.token, organization_id=self.organization
                )
            )

    async def _sealed(self, answer: AuthenticateResponse) -> tuple[str, str]:
        """Return the session's id, out of a token whose signature was checked, and the session sealed."""
        sealed = seal_session_from_auth_response(
            access_token=answer.access_token,
            refresh_token=answer.refresh_token,
            user={"id": answer.user.id},
            cookie_password=self._seal,
        )
        session = self._client.user_management.load_sealed_session(
            session_data=sealed, cookie_password=self._seal
        )
        try:
            async with asyncio.timeout(ASK_SECONDS):
                found = await asyncio.to_thread(session.authenticate)  # which may fetch the keys
        except PyJWKClientConnectionError:
            raise Away("WorkOS's keys cannot be had.") from None
        except PyJWTError:
            raise Refused("The access token is not WorkOS's.", "invalid_jwt") from None
        except Exception as error:  # noqa: BLE001 -- what was fetched may be anything
            raise Away(f"WorkOS's keys cannot be had ({type(error).__name__}).") from None
        if isinstance(found, AuthenticateWithSessionCookieErrorResponse):
            raise Refused("The access token is not WorkOS's.", "invalid_jwt")
        return found.session_id, sealed

    async def _listed(self, *path: str, **asked: str | int) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of a list and the cursor of the next one, as WorkOS wrote them.

        The SDK's own lists are empty where the answer was none, such as a proxy's page: all would be out.
        """
        answer = await self._client.request_raw("get", path, params=asked)
        found, metadata = answer["data"], answer.get("list_metadata") or {}
        if not isinstance(found, list):
            raise TypeError("This is no list.")
        return [one for one in found if isinstance(one, dict)], metadata.get("after")

    async def _members(self, **asked: str) -> tuple[dict[str, frozenset[str]], str | None]:
        """Return the roles by user of a page of active memberships of our organization, and the cursor.

        What the list's filters let through all the same is left out.
        """
        found, cursor = await self._listed(
            *MEMBERSHIPS, organization_id=self.organization, statuses="active", limit=PAGE, **asked
        )
        members = {
            one["user_id"]: frozenset(
                {one["role"]["slug"], *(role["slug"] for role in one.get("roles") or ())}
            )
            for one in found
            if one["organization_id"] == self.organization and one["status"] == "active"
        }
        return members, cursor

    async def _ask(self, asked: Awaitable[T], seconds: float | None = None) -> T:
        """Wait for an answer; what is raised carries nothing of what WorkOS wrote but its code."""
        try:
            async with asyncio.timeout(seconds or ASK_SECONDS):
                return await asked
        except Exception as error:  # noqa: BLE001 -- of an answer of no known form the SDK raises whatever comes
            raise _translated(error) from None


class _Selection(Refused):
    """WorkOS asks which organization is meant."""

    def __init__(self, token: str) -> None:
        super().__init__("WorkOS asks for an organization.", SELECTION)
        self.token = token


async def _whole(asked: Awaitable[AuthenticateResponse]) -> AuthenticateResponse:
    """Return an answer that has a user, which the SDK does not look for in an empty one."""
    answer = await asked
    if not answer.user.id:
        raise ValueError("There is no user.")
    return answer


def _translated(error: Exception) -> Exception:
    status = getattr(error, "status_code", None)
    if status is None:
        return Away(f"WorkOS does not answer ({type(error).__name__}).")
    if status == 429 or status >= 500:
        return Away(f"WorkOS answers {status}.")
    if not isinstance(getattr(error, "response_json", None), dict):  # a proxy's page, or a firewall's
        return Away(f"WorkOS answers {status}, and says nothing.")
    code = str(getattr(error, "code", None) or getattr(error, "error", None) or status)
    if status == 401 or code in OUR_FAULT:
        return KeyRefused("WorkOS refuses WORKOS_API_KEY or WORKOS_CLIENT_ID.")
    token = getattr(error, "pending_authentication_token", None)
    if code == SELECTION and token:
        return _Selection(token)
    return Refused("WorkOS refuses this.", code)


def sealing_key(password: str, purpose: bytes) -> str:
    """Return a Fernet key (32 bytes in URL-safe base64), which the SDK seals with, out of a password."""
    derived = HKDF(hashes.SHA256(), 32, None, b"shmastra workos " + purpose).derive(password.encode())
    return base64.urlsafe_b64encode(derived).decode()
