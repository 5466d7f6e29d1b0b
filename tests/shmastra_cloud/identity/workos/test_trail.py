import time

import pytest

from shmastra_cloud.identity.workos.trail import EmailCode, Leaving, Redirect, Trails, fingerprint

TRAILS = Trails("a-password-of-32-characters-here")
REDIRECT = Redirect("the-state", "the-verifier", "/studio")


def test_what_was_sealed_is_opened_for_the_same_step_only() -> None:
    code = EmailCode("attempt", "ann@example.com", "/workspace")
    assert TRAILS.open(TRAILS.seal(REDIRECT), Redirect) == REDIRECT
    assert TRAILS.open(TRAILS.seal(code), EmailCode) == code
    assert TRAILS.open(TRAILS.seal(Leaving("session_1")), Leaving) == Leaving("session_1")
    assert TRAILS.open(TRAILS.seal(REDIRECT), EmailCode) is None
    assert TRAILS.open(TRAILS.seal(Leaving("session_1")), Redirect) is None


def test_the_browser_cannot_read_it() -> None:
    assert "the-verifier" not in TRAILS.seal(REDIRECT)


def test_it_is_good_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed, now = TRAILS.seal(REDIRECT), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 590)
    assert TRAILS.open(sealed, Redirect) == REDIRECT
    monkeypatch.setattr(time, "time", lambda: now + 602)
    assert TRAILS.open(sealed, Redirect) is None


def test_what_is_not_ours_is_nothing() -> None:
    sealed = TRAILS.seal(REDIRECT)
    other = Trails("another-password-of-32-characters").seal(REDIRECT)
    for forged in (None, "", "x", "\udcff", other, sealed[:-1], sealed.swapcase(), "g" * 10_000):
        assert TRAILS.open(forged, Redirect) is None


def test_a_fingerprint_takes_any_text() -> None:
    assert len(fingerprint("\udcff")) == 32
    assert fingerprint("a") != fingerprint("b")
