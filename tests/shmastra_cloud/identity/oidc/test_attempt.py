from __future__ import annotations

import time

import pytest

from shmastra_cloud.identity.oidc import BadAttempt, Config
from shmastra_cloud.identity.oidc.attempt import Attempt, Attempts, attempt_cookie

CONFIG = Config("https://id", "client", "secret", "https://c", "ID")
ATTEMPTS = Attempts(CONFIG, b"salt")


def test_what_one_process_seals_another_opens() -> None:
    attempt = Attempt.new("/workspace")
    cookie = ATTEMPTS.seal(attempt)
    assert Attempts(CONFIG, b"salt").open(cookie, attempt.state) == attempt
    assert attempt.verifier not in cookie
    assert len(cookie) < 1024
    assert 43 <= len(attempt.verifier) <= 128, "RFC 7636, 4.1"


def test_two_attempts_have_nothing_in_common() -> None:
    one, two = Attempt.new("/"), Attempt.new("/")
    assert len({one.state, one.nonce, one.verifier, two.state, two.nonce, two.verifier}) == 6


@pytest.mark.parametrize("salt", [b"other", b""])
def test_what_was_sealed_elsewhere_is_not_believed(salt: bytes) -> None:
    attempt = Attempt.new("/workspace")
    with pytest.raises(BadAttempt):
        ATTEMPTS.open(Attempts(CONFIG, salt).seal(attempt), attempt.state)


def test_an_answer_must_be_for_the_attempt_that_the_browser_carries() -> None:
    one, two = Attempt.new("/"), Attempt.new("/")
    for cookie, state in (
        (ATTEMPTS.seal(one), two.state),
        (ATTEMPTS.seal(one), None),
        (ATTEMPTS.seal(one), ""),
        (ATTEMPTS.seal(one), "\ud800"),
        (None, one.state),
        ("", one.state),
        ("x", one.state),
        ("\xff", one.state),
        ("A" * 5000, one.state),
    ):
        with pytest.raises(BadAttempt):
            ATTEMPTS.open(cookie, state)


def test_an_attempt_lives_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, now = Attempt.new("/"), time.time()
    cookie = ATTEMPTS.seal(attempt)
    monkeypatch.setattr(time, "time", lambda: now + 590)
    assert ATTEMPTS.open(cookie, attempt.state) == attempt
    monkeypatch.setattr(time, "time", lambda: now + 610)
    with pytest.raises(BadAttempt):
        ATTEMPTS.open(cookie, attempt.state)


def test_the_cookie_is_bound_to_the_host_under_tls() -> None:
    assert attempt_cookie(https=True) == "__Host-shmastra_oidc"
