"""Signing in, staying in and getting out, at a real provider, over real sockets."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
from tests.shmastra_cloud.identity.oidc.conftest import World
from tests.support.openid_provider import ANN, CLIENT_SECRET


def test_somebody_of_the_team_comes_in_and_goes_where_he_wanted(shared: World) -> None:
    with shared.browser() as browser:
        front = browser.get("/", params={"returnTo": "/usage?days=7"}).text
        assert "Continue with Example ID" in front
        assert 'href="/login/oidc?returnTo=%2Fusage%3Fdays%3D7"' in front
        answer = shared.sign_in(browser, "ann", "/login/oidc?returnTo=%2Fusage%3Fdays%3D7")
        assert (answer.status_code, answer.headers["location"]) == (303, "/usage?days=7")
        me = browser.get("/api/me").json()
        assert (me["email"], me["role"]) == ("ann@example.com", "member")
        assert "shmastra_oidc" not in browser.cookies
    (row,) = shared.rows("select oidc_id from users where email = 'ann@example.com'")
    assert row["oidc_id"] == f"{shared.provider.issuer}#ann"


def test_who_lacks_the_claim_is_told_what_to_do_and_leaves_no_trace(shared: World) -> None:
    for sub, groups in (("bob", ["teams", "xteam", "team x", "TEAM"]), ("carl", "steam"), ("dora", None)):
        shared.provider.person(sub, {**ANN, "email": f"{sub}@example.com", "groups": groups})
        with shared.browser() as browser:
            answer = shared.sign_in(browser, sub)
            assert answer.status_code == 403
            assert "You are signed in there, but you are not a member here" in answer.text
            assert "Ask who administers Example ID to add you" in answer.text
            assert "shmastra_session" not in answer.headers.get("set-cookie", "").replace("oidc", "")
            assert browser.get("/api/me").status_code == 401
        assert not shared.rows("select from users where email = $1", f"{sub}@example.com")


def test_an_email_counts_only_if_the_provider_says_so_with_a_plain_true(shared: World) -> None:
    for verified in (False, "true", 1, None):
        shared.provider.person("eve", {**ANN, "email": "eve@example.com", "email_verified": verified})
        with shared.browser() as browser:
            answer = shared.sign_in(browser, "eve")
            assert (answer.status_code, "not say that your email" in answer.text) == (403, True)
    assert not shared.rows("select from users where email = 'eve@example.com'")


def test_pressing_cancel_there_is_said_plainly_here(shared: World) -> None:
    with shared.browser() as browser:
        form = browser.get(browser.get("/login/oidc").headers["location"])
        page = browser.get(str(form.url.join(form.headers["location"])))
        abort = re.search(r'href="([^"]+/abort)"', page.text)
        assert abort
        back = browser.get(str(page.url.join(abort[1])))
        back = browser.get(str(back.url.join(back.headers["location"])))
        assert back.headers["location"].startswith(f"{shared.provider.cloud}/login/oidc/callback?error=")
        answer = browser.get(back.headers["location"])
    assert answer.status_code == 403
    assert "pressed Cancel" in answer.text
    assert "aborted interaction" not in answer.text


def test_an_answer_is_taken_once_and_by_the_browser_that_asked(shared: World) -> None:
    with shared.browser() as browser, shared.browser() as other:
        begun = browser.get("/login/oidc")
        cookie = browser.cookies["shmastra_oidc"]
        state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
        iss = shared.provider.issuer
        for carried, query in (
            (None, f"code=x&state={state}&iss={iss}"),
            (cookie, "code=x&state=y"),
            ("x", f"code=x&state={state}"),
            (cookie, f"code=x&code=y&state={state}"),
        ):
            headers = {"cookie": f"shmastra_oidc={carried}"} if carried else {}
            refused = other.get(f"/login/oidc/callback?{query}", headers=headers)
            assert (refused.status_code, "This attempt to sign in is over" in refused.text) == (400, True)
        callback = shared.walk(browser, "ann")
        cookie = browser.cookies["shmastra_oidc"]
        assert browser.get(callback).status_code == 303
        again = other.get(callback, headers={"cookie": f"shmastra_oidc={cookie}"})
        assert (again.status_code, "This attempt to sign in is over" in again.text) == (400, True)


def test_an_answer_of_another_issuer_or_of_none_is_refused(shared: World) -> None:
    for iss in ("https://evil.example", f"{shared.provider.issuer}/", None):
        with shared.browser() as browser:
            place = urlsplit(shared.walk(browser, "ann"))
            given = {name: value[0] for name, value in parse_qs(place.query).items()}
            assert given.pop("iss") == shared.provider.issuer
            answer = browser.get(place.path, params=given | ({"iss": iss} if iss else {}))
            assert (answer.status_code, "evil" in answer.text) == (400, False)
            assert browser.get("/api/me").status_code == 401


def test_a_provider_that_changes_its_keys_is_believed_again(shared: World) -> None:
    shared.provider.order("rotate")
    with shared.browser() as browser:
        assert shared.sign_in(browser, "ann").status_code == 303


def test_who_loses_the_group_is_out_within_the_time_and_in_again_with_it(
    shared: World, until: Callable[[Callable[[], bool], float], float]
) -> None:
    shared.provider.person("fred", {**ANN, "email": "fred@example.com"})
    with shared.browser() as browser:
        shared.sign_in(browser, "fred")
        assert browser.get("/api/me").status_code == 200
        shared.provider.person("fred", {**ANN, "email": "fred@example.com", "groups": ["all"]})
        assert until(lambda: browser.get("/api/me").status_code == 401, 10) < 10
        (row,) = shared.rows("select disabled_because from users where email = 'fred@example.com'")
        assert row["disabled_because"] == "membership"
        assert shared.sign_in(browser, "fred").status_code == 403
        shared.provider.person("fred", {**ANN, "email": "fred@example.com"})
        assert shared.sign_in(browser, "fred").status_code == 303
        assert browser.get("/api/me").status_code == 200


def test_who_is_no_more_there_loses_the_session_and_not_the_account(
    shared: World, until: Callable[[Callable[[], bool], float], float]
) -> None:
    shared.provider.person("gus", {**ANN, "email": "gus@example.com"})
    with shared.browser() as browser:
        shared.sign_in(browser, "gus")
        shared.provider.person("gus", None)
        until(lambda: browser.get("/api/me").status_code == 401, 10)
    (row,) = shared.rows("select disabled_at from users where email = 'gus@example.com'")
    assert row["disabled_at"] is None


def test_the_role_follows_the_claim_while_the_session_runs(
    shared: World, until: Callable[[Callable[[], bool], float], float]
) -> None:
    shared.provider.person("hal", {**ANN, "email": "hal@example.com"})
    with shared.browser() as browser:
        shared.sign_in(browser, "hal")
        for groups, role in ((["team", "admins"], "admin"), (["team"], "member")):
            shared.provider.person("hal", {**ANN, "email": "hal@example.com", "groups": groups})
            until(lambda role=role: browser.get("/api/me").json()["role"] == role, 10)  # type: ignore[misc]


def test_a_session_lives_an_hour_from_the_providers_last_yes(
    shared: World, until: Callable[[Callable[[], bool], float], float]
) -> None:
    query = (
        "select s.expires_at, s.expires_at - now() as left, s.provider_secret from sessions s"
        " join users u on u.id = s.user_id where u.email = 'ida@example.com'"
    )
    shared.provider.person("ida", {**ANN, "email": "ida@example.com"})
    with shared.browser() as browser:
        shared.sign_in(browser, "ida")
        (first,) = shared.rows(query)
        assert 3500 < first["left"].total_seconds() <= 3600
        assert b"refresh" not in first["provider_secret"]
        until(lambda: shared.rows(query)[0]["expires_at"] > first["expires_at"], 10)
        shared.provider.order("away", **{"is": True})
        try:
            kept = shared.rows(query)[0]["expires_at"]
            until(lambda: "held against the OpenID provider later" in shared.web.log.read_text(), 10)
            assert browser.get("/api/me").status_code == 200
            assert shared.rows(query)[0]["expires_at"] == kept
            with shared.browser() as other:
                assert other.get("/login/oidc").status_code == 303, (
                    "its metadata of before is good for a while"
                )
        finally:
            shared.provider.order("away", **{"is": False})


def test_the_provider_ends_a_session_at_once(
    shared: World, until: Callable[[Callable[[], bool], float], float]
) -> None:
    shared.provider.person("jim", {**ANN, "email": "jim@example.com"})
    with shared.browser() as one, shared.browser() as two:
        for browser in (one, two):
            shared.sign_in(browser, "jim")
        sids = shared.rows(
            "select provider_session from sessions s join users u on u.id = s.user_id"
            " where u.email = 'jim@example.com' order by s.created_at"
        )
        shared.provider.order("logout", sub="ann", sid=sids[0]["provider_session"])
        assert one.get("/api/me").status_code == 200, "that session is not Ann's"
        shared.provider.order("logout", sub="jim", sid=sids[0]["provider_session"])
        until(lambda: one.get("/api/me").status_code == 401, 1)
        assert two.get("/api/me").status_code == 200


def test_only_the_providers_own_word_ends_a_session(shared: World) -> None:
    for body in (b"", b"logout_token=x", b"logout_token=a&logout_token=b", b"\xff\xfe", b"x" * 70_000):
        answer = httpx.post(
            f"{shared.web.url}/login/oidc/backchannel",
            content=body,
            headers={"origin": "https://id.example", "content-type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == (413 if len(body) > 65536 else 400)
        assert answer.status_code == 413 or answer.json()["error"] == "invalid_request"


def test_signing_out_leads_to_the_providers_own_sign_out(shared: World) -> None:
    with shared.browser() as browser:
        shared.sign_in(browser, "ann")
        gone = browser.post("/logout")
        assert gone.status_code == 303
        assert browser.get("/api/me").status_code == 401
        page = browser.get(gone.headers["location"])
        assert page.status_code == 200
        link = re.search(r'url=([^"]+)"', page.text)
        assert link
        url = link[1].replace("&amp;", "&")
        given = parse_qs(urlsplit(url).query)
        assert url.startswith(f"{shared.provider.issuer}/session/end?")
        assert given["post_logout_redirect_uri"] == [f"{shared.provider.cloud}/"]
        assert len(given["id_token_hint"][0].split(".")) == 3
        assert browser.get(url).status_code == 200


def test_where_nothing_is_left_of_a_session_signing_out_leads_to_the_front_page(shared: World) -> None:
    with shared.browser() as browser:
        assert browser.get("/login/oidc/out", params={"hint": "x" * 9000}).status_code == 200


def test_no_secret_is_in_the_log(shared: World) -> None:
    text = shared.web.log.read_text()
    assert "a sign-in is refused" in text
    for secret in (CLIENT_SECRET, "s3cret", "eyJ", "code=", "refresh_token", "state="):
        assert secret not in text


def test_an_address_that_fails_too_often_waits(shared: World) -> None:
    with shared.browser() as browser:
        answers = [browser.get("/login/oidc/callback") for _ in range(70)]
    assert answers[0].status_code == 400
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
