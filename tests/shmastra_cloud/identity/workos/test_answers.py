import pytest

from shmastra_cloud.identity import EmailTaken, IdentityError, ShutOut
from shmastra_cloud.identity.workos import Away, KeyRefused, NotMember, Refused, Unverified
from shmastra_cloud.identity.workos.answers import refusal


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Away("x"), 503, "Try again in a moment"),
        (KeyRefused("x"), 503, "shmastra doctor"),
        (NotMember("Eve is none.", "session_1"), 403, "Ask an admin of your organization"),
        (Unverified("Not verified."), 403, "Get a code by email"),
        (ShutOut("Disabled."), 403, "Disabled."),
        (EmailTaken("<Taken>"), 403, "&lt;Taken&gt;"),
        (Refused("x", "sso_required"), 403, "another way to sign in"),
        (Refused("x", "invalid_grant"), 400, "Start it again"),
    ],
)
def test_each_refusal_says_what_to_do(error: IdentityError, status: int, words: str) -> None:
    answer = refusal(error)
    assert answer.status_code == status
    assert words in bytes(answer.body).decode()
    assert "<a " in bytes(answer.body).decode()
    assert ("retry-after" in answer.headers) is (status == 503)


def test_a_stranger_may_come_as_somebody_else() -> None:
    answer = refusal(NotMember("Eve is none.", "session_1"), "/login/workos/bye?to=x")
    assert b'href="/login/workos/bye?to=x"' in bytes(answer.body)
