"""How strangers came in, or stayed, through other products' identity providers; each tried at a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from tests.shmastra_cloud.identity.oidc.conftest import World, world

EVE = {"email": "eve@example.com", "email_verified": True, "hd": "example.com"}


@pytest.fixture(scope="module")
def cloud(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    environ = {"OIDC_REQUIRED_CLAIM": "hd=example.com", "OIDC_ADMIN_CLAIM": "", "OIDC_CHECK_SECONDS": "2"}
    with world(postgres, tmp_path_factory.mktemp("openid"), **environ) as made:
        yield made


def is_in(browser: httpx.Client) -> bool:
    return browser.get("/api/me").status_code == 200


@pytest.mark.parametrize(
    ("email", "hosted"),
    [
        ("eve@evil-example.com", "evil-example.com"),
        ("eve@example.com.evil.net", "example.com.evil.net"),
        ("eve@example.com", None),
        ("eve@example.com", "EXAMPLE.COM"),
        ("eve@gmail.com", ["xexample.com", "example.comx"]),
    ],
)
def test_oauthenticator_cve_2024_29033_a_domain_is_not_matched_by_its_ending_nor_taken_from_the_email(
    cloud: World, email: str, hosted: object
) -> None:
    cloud.provider.person("eve", {**EVE, "email": email, "hd": hosted})
    with cloud.browser() as browser:
        assert cloud.sign_in(browser, "eve").status_code == 403
        assert not is_in(browser)


@pytest.mark.parametrize("verified", [False, None, "true", "false", 1])
def test_oauthenticator_cve_2026_33175_an_unverified_email_opens_nobodys_account(
    cloud: World, verified: object
) -> None:
    cloud.provider.person("victim", {**EVE, "email": "victim@example.com"})
    cloud.provider.person("eve", {**EVE, "email": "victim@example.com", "email_verified": verified})
    with cloud.browser() as browser, cloud.browser() as evil:
        assert cloud.sign_in(browser, "victim").status_code == 303
        assert cloud.sign_in(evil, "eve").status_code == 403
        assert not is_in(evil)
        cloud.provider.person("eve", {**EVE, "email": "Victim@Example.com"})
        assert cloud.sign_in(evil, "eve").status_code == 403, "verified or not, it is another's here"
        assert not is_in(evil)


def test_coder_ghsa_3rw9_wmc8_8948_no_session_outlives_the_account_at_the_provider(cloud: World) -> None:
    cloud.provider.person("leaver", {**EVE, "email": "leaver@example.com"})
    with cloud.browser() as browser:
        cloud.sign_in(browser, "leaver")
        assert is_in(browser)
        cloud.provider.person("leaver", None)
        deadline = time.monotonic() + 10
        while is_in(browser):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    (row,) = cloud.rows(
        "select max(extract(epoch from expires_at - now())) as left from sessions where source = 'oidc'"
    ) or [{"left": 0}]
    assert (row["left"] or 0) <= 3600, "nor does one that is never asked about again"


def test_login_csrf_the_answer_for_another_browser_signs_nobody_in(cloud: World) -> None:
    cloud.provider.person("eve", EVE)
    with cloud.browser() as evil, cloud.browser() as victim:
        trap = cloud.walk(evil, "eve")
        assert victim.get(trap).status_code == 400
        assert not is_in(victim)
        victim.get("/login/oidc")  # has an attempt of its own under way
        assert victim.get(trap).status_code == 400
        assert not is_in(victim)


def test_code_injection_a_code_for_another_attempt_is_worth_nothing(cloud: World) -> None:
    cloud.provider.person("victim", {**EVE, "email": "victim@example.com"})
    with cloud.browser() as victim, cloud.browser() as evil:
        stolen = parse_qs(urlsplit(cloud.walk(victim, "victim")).query)["code"][0]
        begun = evil.get("/login/oidc").headers["location"]
        state = parse_qs(urlsplit(begun).query)["state"][0]
        given = {"code": stolen, "state": state, "iss": cloud.provider.issuer}
        answer = evil.get(f"/login/oidc/callback?{urlencode(given)}")
        assert (answer.status_code, "the code that it gave was used already" in answer.text) == (400, True)
        assert not is_in(evil)


@pytest.mark.parametrize(
    "place",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/login/oidc", "/studio/../x", "/api/me"],
)
def test_nobody_is_led_elsewhere_after_signing_in(cloud: World, place: str) -> None:
    cloud.provider.person("victim", {**EVE, "email": "victim@example.com"})
    with cloud.browser() as victim:
        answer = cloud.sign_in(victim, "victim", f"/login/oidc?{urlencode({'returnTo': place})}")
    assert answer.headers["location"] == "/workspace"


def test_the_back_channel_is_for_the_provider_alone_and_no_other_change_comes_that_way(cloud: World) -> None:
    cloud.provider.person("victim", {**EVE, "email": "victim@example.com"})
    with cloud.browser() as victim:
        cloud.sign_in(victim, "victim")
        cross = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert victim.post("/logout", headers=cross).status_code == 403
        answer = victim.post("/login/oidc/backchannel", headers=cross, data={"logout_token": "x"})
        assert answer.status_code == 400
        for path in ("/login/oidc/backchannel/", "/login/oidc/callback"):
            assert victim.post(path, headers=cross).status_code == 403
        assert is_in(victim)
