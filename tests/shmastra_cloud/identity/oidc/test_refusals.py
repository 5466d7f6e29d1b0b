import pytest

from shmastra_cloud.identity import EmailTaken, ShutOut
from shmastra_cloud.identity.oidc import (
    BadAttempt,
    BadToken,
    Config,
    EmailUnverified,
    NotAMember,
    ProviderAway,
    ProviderUnsuitable,
    Refused,
)
from shmastra_cloud.identity.oidc.claims import Rule
from shmastra_cloud.identity.oidc.refusals import refusal_for

CONFIG = Config("https://id", "client", "secret", "https://c", "Example ID", Rule.parse("groups=team"))


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (NotAMember("<evil>"), 403, "does not count you among them"),
        (EmailUnverified("<evil>"), 403, "verified"),
        (ShutOut("An admin of this cloud has disabled you."), 403, "disabled"),
        (EmailTaken("<evil>"), 403, "another account"),
        (BadAttempt("<evil>"), 400, "ten minutes"),
        (Refused("access_denied"), 403, "Cancel"),
        (Refused("login_required"), 400, "wants something"),
        (Refused("invalid_grant"), 400, "used already"),
        (Refused("whatever"), 502, "no reason"),
        (ProviderAway("<evil>"), 502, "no answer"),
        (ProviderUnsuitable("<evil>"), 502, "does not fit"),
        (BadToken("<evil>"), 502, "not signed"),
    ],
    ids=str,
)
def test_each_refusal_says_why_and_what_to_do_and_nothing_of_what_came(
    error: Exception, status: int, word: str
) -> None:
    told = refusal_for(error, CONFIG)
    assert told.status == status
    assert word in told.why
    assert told.todo
    assert "evil" not in f"{told.title} {told.why} {told.todo}"


def test_who_was_not_invited_is_told_so() -> None:
    told = refusal_for(NotAMember(""), Config("https://id", "c", "s", "https://c", "ID"))
    assert "nobody has invited" in told.why
    assert "shmastra user invite" in told.todo
