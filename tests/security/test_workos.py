"""Ways to pass for a member whom WorkOS does not have: each was a hole of another product, or a forgery."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.doubles.workos import (
    API_KEY,
    COOKIE_PASSWORD,
    ENVIRONMENT,
    WEBHOOK_SECRET,
    WorkOS,
    signature,
    workos,
)
from tests.security.conftest import new_database
from tests.security.support import Cloud, start_cloud, status, stop_cloud
from tests.security.test_sign_out import WITHIN, Somebody, hold

from shmastra_cloud.database import open_pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.settings import Settings

HOOK = "POST /webhooks/workos"


@pytest.fixture(scope="module")
def double() -> Iterator[WorkOS]:
    with workos() as state:
        yield state


@pytest.fixture(scope="module")
def cloud(double: WorkOS, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One web process whose sign-in is WorkOS, for all tests here."""
    folder = Path(tmp_path_factory.mktemp("workos")) / "data"
    environ = {**ENVIRONMENT, "WORKOS_BASE_URL": double.url}
    here = start_cloud(asyncio.run(new_database(postgres)), folder, **environ)
    yield here
    stop_cloud(here)
    text = here.log.read_text()
    assert "WorkOS" in text or "workos" in text
    for secret in (
        API_KEY,
        COOKIE_PASSWORD,
        WEBHOOK_SECRET,
        *double.refresh,
        *(code for _, code in double.mails),
    ):
        assert secret not in text


def come(cloud: Cloud, email: str, browser: httpx.Client) -> httpx.Response:
    """Sign in on WorkOS's page as a browser would, and return what the callback answers."""
    asked = browser.get("/login/workos").headers["location"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
    base = "{0.scheme}://{0.netloc}".format(urlsplit(asked))
    return browser.get(
        httpx.post(f"{base}/authkit/sign-in", data={**query, "email": email}).headers["location"]
    )


@pytest.fixture
def browser(cloud: Cloud) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cloud.url, headers={"origin": cloud.url}) as here:
        yield here


def hook(cloud: Cloud, event: dict[str, object], *signatures: str) -> int:
    body = json.dumps(event).encode()
    lines = [f"WorkOS-Signature: {one}" for one in signatures or (signature(body),)]
    return status(cloud.ask(HOOK, *lines, body=body))


def key_of(cloud: Cloud, email: str) -> str:
    async def read() -> str:
        pool = await open_pool(cloud.dsn)
        try:
            users = Users(pool, load_vault(Settings(SHMASTRA_DATA=cloud.data)))  # type: ignore[call-arg]
            return await users.virtual_key(await users.find(email))
        finally:
            await pool.close()

    return asyncio.run(read())


def gateway(cloud: Cloud, key: str) -> int:
    return status(cloud.ask("GET /api/gateway/catalog", f"Authorization: Bearer {key}"))


def until(wanted: int, ask: object, seconds: float) -> float:
    """Wait until something answers so, and return how long it took."""
    began = time.monotonic()
    while ask() != wanted:  # type: ignore[operator]
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_the_domain_of_an_email_makes_no_member__cve_2024_29033(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    """oauthenticator took an email's domain for the membership of the organization that has this domain."""
    double.add_user("boss@acme.example")
    outsider = double.add_user("eve@acme.example", role=None)
    double.add_membership(outsider, organization="org_01OURS2")
    double.add_membership(outsider, status="pending")
    answer = come(cloud, "eve@acme.example", browser)
    assert answer.status_code == 403
    assert "not a member" in answer.text
    assert browser.get("/api/me").status_code == 401
    assert come(cloud, "boss@acme.example", browser).status_code == 303


def test_an_unverified_email_is_nobodys__cve_2026_33175(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    """oauthenticator took an email for its owner's that the provider had not verified."""
    assert cloud.ann.email == "ann@example.com"  # a user here, whom WorkOS does not know yet
    double.add_user("ann@example.com", verified=False, role="admin")
    answer = come(cloud, "ann@example.com", browser)
    assert answer.status_code == 403
    assert "not verified" in answer.text
    assert browser.get("/api/me").status_code == 401


def test_a_session_ends_with_the_identity_providers__ghsa_3rw9_wmc8_8948(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    """Coder's sessions outlived those of the identity provider that had begun them."""
    double.add_user("carl@example.com")
    assert come(cloud, "carl@example.com", browser).status_code == 303
    assert browser.get("/api/me").status_code == 200
    (session,) = (
        one for one in double.sessions.values() if double.users[one["user_id"]]["email"][:4] == "carl"
    )
    double.revoke(session["id"])
    assert hook(cloud, double.events[-1]) == 200
    assert until(401, lambda: browser.get("/api/me").status_code, 1) < 1


def test_a_removed_member_is_out_everywhere_within_a_second_of_the_webhook(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    user = double.add_user("dora@example.com", role="admin")
    assert come(cloud, "dora@example.com", browser).status_code == 303
    key = key_of(cloud, "dora@example.com")
    assert browser.get("/workspace", headers={"accept": "text/html"}).status_code == 200
    assert gateway(cloud, key) == 200
    double.remove(user)
    began = time.monotonic()
    assert hook(cloud, double.events[-1]) == 200
    until(401, lambda: gateway(cloud, key), 1)
    until(401, lambda: browser.get("/api/me").status_code, 1)
    assert browser.get("/workspace").headers["location"] == "/"
    assert browser.get("/studio").headers["location"] == "/"
    assert browser.get("/api/mastra/agents").status_code == 401
    assert time.monotonic() - began < 2
    refused = come(cloud, "dora@example.com", browser)
    assert refused.status_code == 403


def test_what_a_removed_member_has_open_is_cut_within_a_second_of_the_webhook(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    user = double.add_user("bob@example.com")  # who has a sandbox here
    assert come(cloud, "bob@example.com", browser).status_code == 303
    bob = cloud.people["bob"]
    somebody = Somebody(bob.id, bob.email, browser.cookies["shmastra_session"], bob.key)
    cloud.engine.answer = cloud.provider.answer = hold
    try:
        somebody.opens(cloud)
        somebody.calls_a_model(cloud)
        double.remove(user)
        began = time.monotonic()
        assert hook(cloud, double.events[-1]) == 200
        for stream in (*somebody.streams, *somebody.calls):
            stream.ends_within(WITHIN, began)
    finally:
        somebody.close()


def test_a_removed_member_is_out_within_a_minute_where_no_webhook_comes(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    user = double.add_user("finn@example.com")
    assert come(cloud, "finn@example.com", browser).status_code == 303
    key = key_of(cloud, "finn@example.com")
    double.change(user, status="inactive")
    until(401, lambda: browser.get("/api/me").status_code, 60)
    until(401, lambda: gateway(cloud, key), 1)


@pytest.mark.parametrize("forgery", ["none", "secret", "body", "old", "early", "two", "rubbish"])
def test_a_forged_webhook_changes_nothing(
    cloud: Cloud, double: WorkOS, browser: httpx.Client, forgery: str
) -> None:
    if forgery == "none":
        double.add_user("gwen@example.com")
    assert come(cloud, "gwen@example.com", browser).status_code == 303
    user = next(one["id"] for one in double.users.values() if one["email"] == "gwen@example.com")
    (session, *_) = (one["id"] for one in double.sessions.values() if one["user_id"] == user)
    event = {"id": f"event_{forgery}", "event": "session.revoked", "data": {"id": session}}
    body = json.dumps(event).encode()
    signatures = {
        "none": ("",),
        "secret": (signature(body, "another secret"),),
        "body": (signature(body.replace(b"session_", b"sesssion_")),),
        "old": (signature(body, at=time.time() - 200),),
        "early": (signature(body, at=time.time() + 200),),
        "two": (signature(body), signature(body)),
        "rubbish": ("t=\xff, v1=\xff",),
    }
    assert hook(cloud, event, *signatures[forgery]) == 400
    assert browser.get("/api/me").status_code == 200


def test_a_replayed_webhook_does_not_throw_out_who_is_back(
    cloud: Cloud, double: WorkOS, browser: httpx.Client
) -> None:
    user = double.add_user("hugo@example.com")
    assert come(cloud, "hugo@example.com", browser).status_code == 303
    double.remove(user)
    removed = double.events[-1]
    body = json.dumps(removed).encode()
    signed = signature(body)
    assert hook(cloud, removed, signed) == 200
    until(401, lambda: browser.get("/api/me").status_code, 1)
    double.add_membership(user)
    assert come(cloud, "hugo@example.com", browser).status_code == 303
    for _ in range(3):
        assert hook(cloud, removed, signed) == 200
    assert hook(cloud, {**removed, "id": "event_of_another_name"}) == 200
    time.sleep(0.2)
    assert browser.get("/api/me").status_code == 200


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("POST /webhooks/workos", 400),
        ("POST /webhooks/workos/", 403),
        ("POST /webhooks/other", 403),
        ("POST /webhooks/workos%2f..%2f..%2flogout", 400),
        ("POST /webhooks/workos/../../logout", 400),
        ("POST /WEBHOOKS/workos", 403),
        ("POST /login/workos/email", 403),
        ("POST /login/workos/code", 403),
        ("POST /logout", 403),
    ],
)
def test_the_webhook_alone_needs_no_page_of_ours(cloud: Cloud, line: str, wanted: int) -> None:
    cookie = f"Cookie: shmastra_session={cloud.ann.session}"
    assert status(cloud.ask(line, cookie, body=b"{}")) == wanted


def test_a_flood_of_forged_webhooks_asks_nothing_of_workos(cloud: Cloud, double: WorkOS) -> None:
    event = {"id": "event_flood", "event": "user.deleted", "data": {"id": "user_1"}}
    before = [path for path in double.asked if "organization_memberships" in path]
    threads = [threading.Thread(target=hook, args=(cloud, event, "t=1, v1=0")) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [path for path in double.asked if "organization_memberships" in path] == before
