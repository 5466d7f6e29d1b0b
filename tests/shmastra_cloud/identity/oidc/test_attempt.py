from __future__ import annotations

import base64
import time

import pytest

from shmastra_cloud.identity.oidc import BadAttempt
from shmastra_cloud.identity.oidc.attempt import Attempt, Attempts, attempt_cookie
from shmastra_cloud.secrets_at_rest import Vault

ATTEMPTS = Attempts(Vault(b"k" * 32))


def test_what_one_process_seals_another_opens() -> None:
    attempt = Attempt.new("/workspace")
    cookie = ATTEMPTS.seal(attempt)
    assert Attempts(Vault(b"k" * 32)).open(cookie, attempt.state) == attempt
    assert attempt.verifier not in cookie
    assert len(cookie) < 1024
    assert 43 <= len(attempt.verifier) <= 128, "RFC 7636, 4.1"


def test_two_attempts_have_nothing_in_common() -> None:
    one, two = Attempt.new("/"), Attempt.new("/")
    assert len({one.state, one.nonce, one.verifier, two.state, two.nonce, two.verifier}) == 6


def test_what_was_sealed_elsewhere_or_for_something_else_is_not_believed() -> None:
    attempt = Attempt.new("/workspace")
    with pytest.raises(BadAttempt):
        ATTEMPTS.open(Attempts(Vault(b"o" * 32)).seal(attempt), attempt.state)
    other = base64.urlsafe_b64encode(Vault(b"k" * 32).seal("{}", "reach")).decode()
    with pytest.raises(BadAttempt):
        ATTEMPTS.open(other, attempt.state)


def test_an_attempt_survives_a_change_of_the_master_key() -> None:
    attempt = Attempt.new("/workspace")
    assert Attempts(Vault(b"n" * 32, b"k" * 32)).open(ATTEMPTS.seal(attempt), attempt.state) == attempt


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
