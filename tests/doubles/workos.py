"""A stand-in for WorkOS: AuthKit's sign-in page, user management, events and webhooks, over a real socket.

It answers as WorkOS's OpenAPI specification says (github.com/workos/openapi-spec), errors included; the
official SDK's models read all of it (tests/doubles/test_workos.py).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import html
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from tests.support.serving import served

API_KEY = "sk_test_the-real-key-of-workos"
CLIENT_ID = "client_01TEST"
ORGANIZATION = "org_01OURS"
WEBHOOK_SECRET = "whsec_the-real-secret"
COOKIE_PASSWORD = "the-cookie-password-has-32-characters"
ENVIRONMENT = {
    "WORKOS_API_KEY": API_KEY,
    "WORKOS_CLIENT_ID": CLIENT_ID,
    "WORKOS_ORGANIZATION_ID": ORGANIZATION,
    "WORKOS_COOKIE_PASSWORD": COOKIE_PASSWORD,
    "WORKOS_WEBHOOK_SECRET": WEBHOOK_SECRET,
}
TOKEN_SECONDS = 300
SELECTION = "urn:workos:oauth:grant-type:organization-selection"
MAGIC_AUTH = "urn:workos:oauth:grant-type:magic-auth:code"


class Refusal(Exception):
    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


def refusal(status: int, code: str, **more: Any) -> Refusal:
    return Refusal(status, {"code": code, "message": f"Request could not be processed: {code}.", **more})


def oauth_refusal(error: str) -> Refusal:
    return Refusal(400, {"error": error, "error_description": f"The request failed due to: {error}."})


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id(kind: str) -> str:
    return f"{kind}_{time.time_ns():020d}{secrets.token_hex(3)}"


class Keys:
    """The key pair that access tokens are signed with, as a JWKS tells it."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(65537, 2048)
        self.kid = f"sso_oidc_key_pair_{secrets.token_hex(6)}"

    def jwks(self) -> dict[str, Any]:
        numbers = self.private.public_key().public_numbers()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workos")])
        began = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        made = made.not_valid_before(began).not_valid_after(began + dt.timedelta(days=30))
        certificate = made.public_key(self.private.public_key()).sign(self.private, hashes.SHA256())
        der = certificate.public_bytes(serialization.Encoding.DER)
        key = {
            "alg": "RS256",
            "kty": "RSA",
            "use": "sig",
            "n": _base64(numbers.n.to_bytes(256, "big")),
            "e": _base64(numbers.e.to_bytes(3, "big")),
            "kid": self.kid,
            "x5c": [base64.b64encode(der).decode()],
            "x5t#S256": _base64(hashlib.sha256(der).digest()),
        }
        return {"keys": [key]}


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class WorkOS:
    """What WorkOS holds. ``fails`` is every answer's status, ``rubbish`` its body; ``asked`` the paths."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    memberships: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    mails: list[tuple[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    hooks: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    fails: int | None = None
    rubbish: str | None = None
    keys_rubbish: str | None = None
    retry_after: str | None = None
    login_as: str | None = None
    sso_required: bool = False
    keys: Keys = field(default_factory=Keys)

    # what an admin does in the dashboard

    def add_user(self, email: str, *, verified: bool = True, role: str | None = "member") -> str:
        user = new_id("user")
        self.users[user] = {
            "object": "user",
            "id": user,
            "email": email,
            "email_verified": verified,
            "first_name": "Ann",
            "last_name": None,
            "name": "Ann",
            "profile_picture_url": None,
            "external_id": None,
            "last_sign_in_at": None,
            "locale": None,
            "metadata": {},
            "created_at": now(),
            "updated_at": now(),
        }
        self.tell("user.created", self.users[user])
        if role is not None:
            self.add_membership(user, role=role)
        return user

    def add_membership(
        self, user: str, *, organization: str = ORGANIZATION, role: str = "member", status: str = "active"
    ) -> str:
        name = new_id("om")
        self.memberships[name] = {
            "object": "organization_membership",
            "id": name,
            "user_id": user,
            "organization_id": organization,
            "organization_name": organization,
            "status": status,
            "role": {"slug": role},
            "roles": [{"slug": role}],
            "custom_attributes": {},
            "directory_managed": False,
            "created_at": now(),
            "updated_at": now(),
        }
        self.tell("organization_membership.created", self.memberships[name])
        return name

    def membership(self, user: str, organization: str = ORGANIZATION) -> dict[str, Any] | None:
        found = (m for m in self.memberships.values() if m["user_id"] == user)
        return next((m for m in found if m["organization_id"] == organization), None)

    def change(self, user: str, **values: Any) -> None:
        """Change a membership: ``status`` or ``role``."""
        membership = self.membership(user)
        assert membership is not None
        if "role" in values:
            values = {"role": {"slug": values["role"]}, "roles": [{"slug": values["role"]}]}
        membership.update(values, updated_at=now())
        self.tell("organization_membership.updated", membership)

    def remove(self, user: str) -> None:
        membership = self.membership(user)
        assert membership is not None
        del self.memberships[membership["id"]]
        self.tell("organization_membership.deleted", membership)

    def delete_user(self, user: str) -> None:
        for session in [s for s in self.sessions.values() if s["user_id"] == user]:
            self.revoke(session["id"])
        for membership in [m for m in self.memberships.values() if m["user_id"] == user]:
            del self.memberships[membership["id"]]
            self.tell("organization_membership.deleted", membership)
        self.tell("user.deleted", self.users.pop(user))

    def revoke(self, session: str) -> None:
        ended = self.sessions.pop(session)
        ended.update(status="revoked", ended_at=now(), updated_at=now())
        self.tell("session.revoked", ended)

    def tell(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """Record an event, and deliver it to every webhook."""
        event = {
            "object": "event",
            "id": new_id("event"),
            "event": name,
            "data": json.loads(json.dumps(data)),
            "created_at": now(),
        }
        self.events.append(event)
        for hook in self.hooks:
            body = json.dumps(event).encode()
            headers = {"workos-signature": signature(body), "content-type": "application/json"}
            self.answers.append(httpx.post(hook, content=body, headers=headers).status_code)
        return event

    # its own parts

    def begin(self, user: str, organization: str | None, method: str) -> dict[str, Any]:
        session = {
            "object": "session",
            "id": new_id("session"),
            "user_id": user,
            "organization_id": organization,
            "ip_address": "127.0.0.1",
            "user_agent": None,
            "auth_method": method,
            "status": "active",
            "expires_at": "2099-01-01T00:00:00.000Z",
            "ended_at": None,
            "created_at": now(),
            "updated_at": now(),
        }
        self.sessions[session["id"]] = session
        self.tell("session.created", session)
        return session

    def tokens(self, session: dict[str, Any]) -> dict[str, Any]:
        user, organization = self.users[session["user_id"]], session["organization_id"]
        membership = self.membership(user["id"], organization) if organization else None
        at = int(time.time())
        claims = {
            "iss": f"{self.url}/user_management/{CLIENT_ID}",
            "sub": user["id"],
            "sid": session["id"],
            "jti": secrets.token_hex(8),
            "client_id": CLIENT_ID,
            "iat": at,
            "auth_time": at,
            "exp": at + TOKEN_SECONDS,
            **({"org_id": organization, "role": membership["role"]["slug"]} if membership else {}),
        }
        access = jwt.encode(claims, self.keys.private, "RS256", {"kid": self.keys.kid})
        refresh = secrets.token_urlsafe(18)
        self.refresh[refresh] = session["id"]
        answer = {"user": user, "access_token": access, "refresh_token": refresh}
        return {**answer, "organization_id": organization, "authentication_method": "MagicAuth"}

    def active(self, user: str, organization: str) -> bool:
        membership = self.membership(user, organization)
        return membership is not None and membership["status"] == "active"


def signature(body: bytes, secret: str = WEBHOOK_SECRET, at: float | None = None) -> str:
    """Return the header that WorkOS sends with a webhook."""
    stamp = str(int((time.time() if at is None else at) * 1000))
    signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp}, v1={signed}"


class Served:
    """WorkOS's routes."""

    def __init__(self, state: WorkOS) -> None:
        self.state = state
        management, key = "/user_management", self._with_key
        self.app = Starlette(
            routes=[
                Route(f"{management}/authorize", self.authorize),
                Route("/authkit/sign-in", self.sign_in, methods=["POST"]),
                Route(f"{management}/sessions/logout", self.logout),
                Route("/sso/jwks/{client}", self.jwks),
                Route(f"{management}/authenticate", key(self.authenticate), methods=["POST"]),
                Route(f"{management}/magic_auth", key(self.magic_auth), methods=["POST"]),
                Route(f"{management}/users", key(self.users), methods=["GET", "POST"]),
                Route(f"{management}/users/{{user}}", key(self.user), methods=["GET", "DELETE"]),
                Route(f"{management}/users/{{user}}/sessions", key(self.user_sessions)),
                Route(f"{management}/sessions/revoke", key(self.revoke), methods=["POST"]),
                Route(
                    f"{management}/organization_memberships", key(self.memberships), methods=["GET", "POST"]
                ),
                Route(
                    f"{management}/organization_memberships/{{name}}", key(self.delete), methods=["DELETE"]
                ),
                Route(
                    f"{management}/organization_memberships/{{name}}/{{verb}}",
                    key(self.verb),
                    methods=["PUT"],
                ),
                Route("/webhook_endpoints", key(self.endpoints), methods=["POST"]),
                Route("/organizations/{organization}", key(self.organization)),
                Route("/events", key(self.events)),
            ],
            exception_handlers={Refusal: _refused},
        )

    def _with_key(self, route: Any) -> Any:
        async def asked(request: Request) -> Response:
            self.state.asked.append(request.url.path)
            if self.state.rubbish is not None:
                return Response(self.state.rubbish, self.state.fails or 200, media_type="application/json")
            if self.state.fails is not None:
                headers = {"retry-after": self.state.retry_after} if self.state.retry_after else {}
                return JSONResponse({"message": "no"}, self.state.fails, headers)
            if request.headers.get("authorization") != f"Bearer {API_KEY}":
                return JSONResponse({"message": "Unauthorized"}, 401)
            answer: Response = await route(request)
            return answer

        return asked

    async def authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            raise oauth_refusal("invalid_client")
        if query.get("provider") != "authkit" or query.get("code_challenge_method") != "S256":
            raise oauth_refusal("invalid_request")
        known = request.cookies.get("authkit") or self.state.login_as
        session = self.state.sessions.get(known or "")
        email = self.state.users[session["user_id"]]["email"] if session else known
        if email and any(user["email"] == email for user in self.state.users.values()):
            return self._back(query, email, session)
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in query.items()
        )
        return HTMLResponse(
            '<!doctype html><title>AuthKit</title><body style="font:16px sans-serif"><h1>AuthKit</h1>'
            f'<form method="post" action="/authkit/sign-in">{hidden}<label>Email <input name="email"></label>'
            "<button>Continue</button></form>"
        )

    async def sign_in(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        email = form.pop("email")
        if all(user["email"] != email for user in self.state.users.values()):
            self.state.add_user(email, role=None)
        return self._back(form, email, None)

    def _back(self, query: dict[str, str], email: str, session: dict[str, Any] | None) -> Response:
        user = next(one for one in self.state.users.values() if one["email"] == email)
        wanted = query.get("organization_id")
        organization = wanted if wanted and self.state.active(user["id"], wanted) else None
        session = session or self.state.begin(user["id"], organization, "password")
        code = secrets.token_urlsafe(18)
        self.state.codes[code] = {"session": session["id"], "challenge": query.get("code_challenge")}
        back = urlencode({"code": code, "state": query.get("state", "")})
        answer = RedirectResponse(f"{query['redirect_uri']}?{back}", 302)
        answer.set_cookie("authkit", session["id"], httponly=True)
        return answer

    async def logout(self, request: Request) -> Response:
        session = request.query_params.get("session_id")
        if not session:
            raise Refusal(422, {"message": "session_id is required"})
        if session in self.state.sessions:
            self.state.revoke(session)
        answer = RedirectResponse(request.query_params.get("return_to", "/"), 302)
        answer.delete_cookie("authkit")
        return answer

    async def jwks(self, request: Request) -> Response:
        if self.state.keys_rubbish is not None:
            return Response(self.state.keys_rubbish)
        if request.path_params["client"] != CLIENT_ID:
            raise refusal(404, "entity_not_found")
        return JSONResponse(self.state.keys.jwks())

    async def authenticate(self, request: Request) -> Response:
        body = await request.json()
        if body.get("client_id") != CLIENT_ID or body.get("client_secret") != API_KEY:
            raise oauth_refusal("invalid_client")
        grants = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh,
            MAGIC_AUTH: self._by_mail,
            SELECTION: self._by_selection,
        }
        if body.get("grant_type") not in grants:
            raise oauth_refusal("unsupported_grant_type")
        return JSONResponse(self.state.tokens(grants[body["grant_type"]](body)))

    def _by_code(self, body: dict[str, Any]) -> dict[str, Any]:
        held = self.state.codes.pop(body.get("code", ""), None)
        session = self.state.sessions.get(held["session"]) if held else None
        if held is None or session is None:
            raise oauth_refusal("invalid_grant")
        shown = _base64(hashlib.sha256(body.get("code_verifier", "").encode()).digest())
        if shown != held["challenge"]:
            raise oauth_refusal("invalid_grant")
        return session

    def _by_refresh(self, body: dict[str, Any]) -> dict[str, Any]:
        session = self.state.sessions.get(self.state.refresh.pop(body.get("refresh_token", ""), ""))
        if session is None or session["user_id"] not in self.state.users:
            raise oauth_refusal("invalid_grant")
        wanted = body.get("organization_id")
        if wanted:
            if self.state.sso_required:
                raise Refusal(403, {"error": "sso_required", "error_description": "SSO is required."})
            if not self.state.active(session["user_id"], wanted):
                raise refusal(400, "invalid_organization_id")
            session["organization_id"] = wanted
        return session

    def _by_mail(self, body: dict[str, Any]) -> dict[str, Any]:
        email, code = body.get("email"), body.get("code")
        if (email, code) not in self.state.mails:
            raise refusal(400, "invalid_one_time_code")
        self.state.mails.remove((email, code))
        user = next(one for one in self.state.users.values() if one["email"] == email)
        user["email_verified"] = True
        theirs = [m for m in self.state.memberships.values() if m["user_id"] == user["id"]]
        if len(theirs) > 1:
            token = secrets.token_urlsafe(18)
            self.state.pending[token] = user
            organizations = [{"id": m["organization_id"], "name": m["organization_name"]} for m in theirs]
            raise refusal(
                403,
                "organization_selection_required",
                pending_authentication_token=token,
                user=user,
                organizations=organizations,
            )
        return self.state.begin(user["id"], theirs[0]["organization_id"] if theirs else None, "magic_code")

    def _by_selection(self, body: dict[str, Any]) -> dict[str, Any]:
        user = self.state.pending.pop(body.get("pending_authentication_token", ""), None)
        if user is None:
            raise refusal(400, "invalid_pending_authentication_token")
        if not self.state.active(user["id"], body.get("organization_id", "")):
            raise refusal(400, "invalid_organization_id")
        return self.state.begin(user["id"], body["organization_id"], "magic_code")

    async def magic_auth(self, request: Request) -> Response:
        email = (await request.json())["email"]
        user = next((one for one in self.state.users.values() if one["email"].lower() == email.lower()), None)
        user = user or self.state.users[self.state.add_user(email, verified=False, role=None)]
        code = f"{secrets.randbelow(10**6):06d}"
        self.state.mails.append((user["email"], code))
        made = {"object": "magic_auth", "id": new_id("magic_auth"), "user_id": user["id"], "code": code}
        times = {"created_at": now(), "updated_at": now(), "expires_at": now()}
        return JSONResponse({**made, "email": user["email"], **times}, 201)

    async def users(self, request: Request) -> Response:
        if request.method == "POST":
            body = await request.json()
            user = self.state.add_user(body["email"], verified=body.get("email_verified", False), role=None)
            return JSONResponse(self.state.users[user], 201)
        email = request.query_params.get("email")
        found = [user for user in self.state.users.values() if email in (None, user["email"])]
        return _list(request, found)

    async def user(self, request: Request) -> Response:
        if request.path_params["user"] not in self.state.users:
            raise refusal(404, "entity_not_found")
        if request.method == "DELETE":
            self.state.delete_user(request.path_params["user"])
            return Response(status_code=204)
        return JSONResponse(self.state.users[request.path_params["user"]])

    async def user_sessions(self, request: Request) -> Response:
        user = request.path_params["user"]
        return _list(request, [one for one in self.state.sessions.values() if one["user_id"] == user])

    async def revoke(self, request: Request) -> Response:
        session = (await request.json()).get("session_id")
        if session not in self.state.sessions:
            raise Refusal(400, {"message": f"Session not found: '{session}'."})
        self.state.revoke(session)
        return Response(status_code=200)

    async def delete(self, request: Request) -> Response:
        self.state.remove(self.state.memberships[request.path_params["name"]]["user_id"])
        return Response(status_code=204)

    async def verb(self, request: Request) -> Response:
        status = {"deactivate": "inactive", "reactivate": "active"}[request.path_params["verb"]]
        membership = self.state.memberships[request.path_params["name"]]
        self.state.change(membership["user_id"], status=status)
        return JSONResponse(self._whole(membership))

    async def endpoints(self, request: Request) -> Response:
        body = await request.json()
        self.state.hooks.append(body["endpoint_url"])
        made = {
            "object": "webhook_endpoint",
            "id": new_id("we"),
            "secret": WEBHOOK_SECRET,
            "status": "enabled",
        }
        return JSONResponse({**body, **made, "created_at": now(), "updated_at": now()}, 201)

    def _whole(self, membership: dict[str, Any]) -> dict[str, Any]:
        return {**membership, "user": self.state.users[membership["user_id"]]}

    async def memberships(self, request: Request) -> Response:
        if request.method == "POST":
            body = await request.json()
            values = {"organization": body["organization_id"], "role": body.get("role_slug", "member")}
            name = self.state.add_membership(body["user_id"], **values)
            return JSONResponse(self._whole(self.state.memberships[name]), 201)
        query = request.query_params
        if not {"user_id", "organization_id"} & set(query):
            raise Refusal(400, {"message": "user_id or organization_id is required"})
        statuses = query.get("statuses", "active").split(",")
        found = [
            self._whole(one)
            for one in self.state.memberships.values()
            if query.get("user_id") in (None, one["user_id"])
            and query.get("organization_id") in (None, one["organization_id"])
            and one["status"] in statuses
        ]
        return _list(request, found)

    async def organization(self, request: Request) -> Response:
        if request.path_params["organization"] != ORGANIZATION:
            raise refusal(404, "entity_not_found")
        body = {"object": "organization", "id": ORGANIZATION, "name": "Acme", "domains": [], "metadata": {}}
        return JSONResponse({**body, "external_id": None, "created_at": now(), "updated_at": now()})

    async def events(self, request: Request) -> Response:
        query = request.query_params
        names = query.get("events", "").split(",")
        if not names[0]:
            raise Refusal(
                422, {"message": "Validation failed", "errors": [{"field": "events", "code": "required"}]}
            )
        after = query.get("after")
        if after is not None and all(event["id"] != after for event in self.state.events):
            raise Refusal(400, {"message": f"The event '{after}' was not found."})
        since = query.get("range_start", "")
        found = [
            event
            for event in self.state.events
            if event["event"] in names
            and event["created_at"] >= since
            and (after is None or event["id"] > after)
        ]
        limit = int(query.get("limit", "10"))
        page = found[:limit]
        cursor = page[-1]["id"] if len(found) > limit else None
        return JSONResponse({"object": "list", "data": page, "list_metadata": {"after": cursor}})


def _list(request: Request, found: list[dict[str, Any]]) -> Response:
    after, limit = request.query_params.get("after"), int(request.query_params.get("limit", "10"))
    begin = next((at + 1 for at, one in enumerate(found) if one["id"] == after), 0)
    page = found[begin : begin + limit]
    cursor = page[-1]["id"] if begin + limit < len(found) else None
    metadata = {"before": None, "after": cursor}
    return JSONResponse({"object": "list", "data": page, "list_metadata": metadata})


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.body, error.status)


@contextmanager
def workos() -> Iterator[WorkOS]:
    """Serve WorkOS until the block ends."""
    state = WorkOS()
    with served(Served(state).app) as here:
        state.url = here.url
        yield state
