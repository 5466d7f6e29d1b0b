"""Our stand-in for WorkOS is held against the official SDK: its models read every answer.

With ``WORKOS_EMULATOR_URL`` the same is asked of WorkOS's own emulator (github.com/workos/emulate), and it
must know the organization of ``tests.doubles.workos``, with the roles ``admin`` and ``member``.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.doubles.workos import API_KEY, CLIENT_ID, COOKIE_PASSWORD, ENVIRONMENT, ORGANIZATION, workos
from workos import AsyncWorkOSClient
from workos.events.models import EventSchema
from workos.organization_membership import RoleSingle

from shmastra_cloud.identity import Device
from shmastra_cloud.identity.workos import NotMember, Provider, Refused, Unverified
from shmastra_cloud.identity.workos.news import News, news_in
from shmastra_cloud.identity.workos.provider import EVENTS
from shmastra_cloud.settings import load_settings

EMULATOR = os.environ.get("WORKOS_EMULATOR_URL")
CALLBACK = "http://127.0.0.1:3000/login/workos/callback"
START = "2026-01-01T00:00:00.000Z"


@pytest.fixture(scope="module", params=["double", *(["emulator"] if EMULATOR else [])])
def peer(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Give the address and the API key of a WorkOS."""
    if request.param == "emulator":
        yield str(EMULATOR), "sk_test_default"
        return
    with workos() as state:
        yield state.url, API_KEY


@dataclass
class Contract:
    provider: Provider
    sdk: AsyncWorkOSClient
    url: str
    made: list[str] = field(default_factory=list)

    async def user(self, *, role: str | None = "member", verified: bool = True) -> tuple[str, str]:
        """Make a user, a member with that role, and return his id and email."""
        email = f"{os.urandom(6).hex()}@example.com"
        user = (await self.sdk.user_management.create_user(email=email, email_verified=verified)).id
        if role is not None:
            await self.join(user, role)
        return user, email

    async def join(self, user: str, role: str = "member") -> str:
        made = await self.sdk.organization_membership.create_organization_membership(
            user_id=user, organization_id=ORGANIZATION, role=RoleSingle(role_slug=role)
        )
        return made.id

    async def code(self, email: str) -> tuple[str, str]:
        """Sign in on the page, and return the code that it leads back with, and the verifier."""
        url, state, verifier = self.provider.authorization_url(CALLBACK)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        path = "/user_management/authorize" if self.url == EMULATOR else "/authkit/sign-in"
        async with httpx.AsyncClient(base_url=self.url) as browser:
            back = (await browser.post(path, data={**query, "email": email})).headers["location"]
        answer = parse_qs(urlsplit(back).query)
        assert back.startswith(CALLBACK)
        assert answer["state"] == [state]
        return answer["code"][0], verifier

    async def events(self) -> list[dict[str, Any]]:
        """Return all events; the SDK's models read those that were asked for."""
        found: list[dict[str, Any]] = []
        while page := await self.provider.events(found[-1]["id"] if found else None, START):
            for event in page:
                if event["event"] in EVENTS:  # the emulator heeds no list with commas
                    EventSchema.from_dict(event)
            found += page
        return found

    async def news(self) -> list[News]:
        return [news for event in await self.events() if (news := news_in(event, ORGANIZATION))]


@pytest.fixture
async def its(peer: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Contract]:
    url, key = peer
    for name, value in {**ENVIRONMENT, "WORKOS_BASE_URL": url, "WORKOS_API_KEY": key}.items():
        monkeypatch.setenv(name, value)
    provider = Provider(load_settings())
    async with httpx.AsyncClient() as http:
        sdk = AsyncWorkOSClient(api_key=key, client_id=CLIENT_ID, base_url=url, http_client=http)
        yield Contract(provider, sdk, url)
    await provider.aclose()


async def test_a_member_comes_in_through_the_page_and_his_session_is_renewed(its: Contract) -> None:
    user, email = await its.user(role="admin")
    code, verifier = await its.code(email)
    member = await its.provider.by_code(code, verifier, Device("127.0.0.1", "a browser"))
    assert (member.id, member.email, member.roles) == (user, email, {"admin"})
    assert await its.provider.standing(user, member.session) == {"admin"}
    again = await its.provider.again(member.sealed)
    assert (again.id, again.session) == (user, member.session)
    with pytest.raises(Refused):
        await its.provider.again(member.sealed)
    assert COOKIE_PASSWORD not in member.sealed


async def test_a_code_is_good_once_and_for_its_verifier(its: Contract) -> None:
    _, email = await its.user()
    code, verifier = await its.code(email)
    await its.provider.by_code(code, verifier, Device())
    with pytest.raises(Refused):
        await its.provider.by_code(code, verifier, Device())
    code, _ = await its.code(email)
    with pytest.raises(Refused):
        await its.provider.by_code(code, "x" * 43, Device())


async def test_a_member_comes_in_by_a_code_from_his_mail(its: Contract) -> None:
    user, email = await its.user(verified=False)
    assert await its.provider.user_with(email) == user
    assert await its.provider.user_with(f"no-{email}") is None
    made = await its.sdk.user_management.create_magic_auth(email=email)
    with pytest.raises(Refused):
        await its.provider.by_email(email, f"{(int(made.code) + 1) % 10**6:06d}", Device())
    assert (await its.provider.by_email(email, made.code, Device())).id == user
    with pytest.raises(Refused):
        await its.provider.by_email(email, made.code, Device())
    await its.provider.send_code(email)


async def test_who_is_no_member_or_unverified_is_refused(its: Contract) -> None:
    _, email = await its.user(role=None)
    code, verifier = await its.code(email)
    with pytest.raises(NotMember) as refused:
        await its.provider.by_code(code, verifier, Device())
    assert refused.value.session.startswith("session_")
    _, email = await its.user(verified=False)
    code, verifier = await its.code(email)
    with pytest.raises(Unverified):
        await its.provider.by_code(code, verifier, Device())


async def test_memberships_come_and_go_and_events_tell(its: Contract) -> None:
    user, _ = await its.user(role=None)
    assert await its.provider.roles(user) is None
    membership = await its.join(user, "admin")
    assert await its.provider.roles(user) == {"admin"}
    assert (await its.provider.everybody())[user] == {"admin"}
    memberships = its.sdk.organization_membership
    await memberships.deactivate_organization_membership(membership)
    assert await its.provider.roles(user) is None
    assert user not in await its.provider.everybody()
    await memberships.reactivate_organization_membership(membership)
    assert await its.provider.roles(user) == {"admin"}
    await memberships.delete_organization_membership(membership)
    assert await its.provider.roles(user) is None
    about = [news.gone for news in await its.news() if news.user == user]
    assert about == [False, True, False, True]


async def test_a_deleted_user_is_told_of_and_has_no_membership(its: Contract) -> None:
    user, email = await its.user()
    code, verifier = await its.code(email)
    member = await its.provider.by_code(code, verifier, Device())
    await its.sdk.user_management.delete_user(user)
    assert await its.provider.roles(user) is None
    assert News(user=user, gone=True) in await its.news()
    with pytest.raises(Refused):
        await its.provider.again(member.sealed)


async def test_a_revoked_session_is_told_of_and_not_renewed(its: Contract) -> None:
    _, email = await its.user()
    code, verifier = await its.code(email)
    member = await its.provider.by_code(code, verifier, Device())
    await its.sdk.user_management.revoke_session(session_id=member.session)
    assert News(session=member.session) in await its.news()
    with pytest.raises(Refused):
        await its.provider.standing(member.id, member.session)
    with pytest.raises(Refused):
        await its.provider.again(member.sealed)


async def test_the_logout_address_ends_the_session_and_leads_back(its: Contract) -> None:
    user, email = await its.user()
    code, verifier = await its.code(email)
    member = await its.provider.by_code(code, verifier, Device())
    async with httpx.AsyncClient() as browser:
        left = await browser.get(its.provider.logout_url(member.session, "http://127.0.0.1:3000/"))
    assert (left.status_code, left.headers["location"]) == (302, "http://127.0.0.1:3000/")
    with pytest.raises(Refused):
        await its.provider.again(member.sealed)
    sessions = (await its.sdk.user_management.list_sessions(user)).data
    assert member.session not in {one.id for one in sessions if one.status.value == "active"}


async def test_the_organization_and_the_keys_are_there(its: Contract) -> None:
    assert await its.provider.organization_name() == "Acme"
    await its.provider.knows_client()
    if its.url != EMULATOR:  # whose keys have no certificates
        assert (await its.sdk.user_management.get_jwks(CLIENT_ID)).keys[0].kid


async def test_webhooks_are_signed_as_the_sdk_checks_them(its: Contract) -> None:
    received: list[tuple[str, bytes]] = []
    came = threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.headers["workos-signature"], body))
            self.send_response(200)
            self.end_headers()
            came.set()

        def log_message(self, *_args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        asked = {"endpoint_url": url, "events": ["organization_membership.created"]}
        endpoint = await its.sdk.request_raw("post", ("webhook_endpoints",), body=asked)
        user, _ = await its.user()
        assert await asyncio.to_thread(came.wait, 10)
    finally:
        server.shutdown()
        server.server_close()
    told = [
        its.sdk.webhooks.verify_event(event_body=body, event_signature=sign, secret=endpoint["secret"])
        for sign, body in received
    ]
    assert user in {getattr(event.data, "user_id", None) for event in told}
