from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmastra_cloud.identity.oidc import EmailUnverified
from shmastra_cloud.identity.oidc.claims import MISSING, Rule, value_of, verified_email

NESTED = {"realm_access": {"roles": ["team"]}, "https://app.example.com/groups": ["team"], "a.b": "literal"}


@pytest.mark.parametrize(
    ("rule", "claims", "holds"),
    [
        ("groups=team", {"groups": "team"}, True),
        ("groups=team", {"groups": ["x", "team"]}, True),
        ("groups=team", {"groups": ["xteam", "teams", "team ", "TEAM", "x,team", "team/x"]}, False),
        ("groups=team", {"groups": "x team"}, False),
        ("groups=team", {"groups": {"team": True}}, False),
        ("groups=team", {"groups": [["team"]]}, False),
        ("groups=team", {"group": "team"}, False),
        ("groups=team", {}, False),
        ("groups = a | b", {"groups": ["b"]}, True),
        ("groups=team; hd=example.com", {"groups": ["team"], "hd": "example.com"}, True),
        ("groups=team; hd=example.com", {"groups": ["team"], "hd": "evil-example.com"}, False),
        ("hd=example.com", {"hd": "example.com.evil.net"}, False),
        ("realm_access.roles=team", NESTED, True),
        ("https://app.example.com/groups=team", NESTED, True),
        ("a.b=literal", NESTED, True),
        ("groups=cn=team,ou=x", {"groups": ["cn=team,ou=x"]}, True),
        ("staff=true", {"staff": True}, True),
        ("staff=1", {"staff": True}, False),
        ("level=3", {"level": 3}, True),
        ("groups=None", {"groups": None}, False),
    ],
)
def test_a_rule_holds_for_a_whole_value_or_a_member_of_a_list(
    rule: str, claims: dict[str, Any], holds: bool
) -> None:
    assert Rule.parse(rule).holds(claims) is holds


@given(st.text(max_size=8), st.text(max_size=8))
def test_nothing_around_a_value_makes_it_that_value(before: str, after: str) -> None:
    told = f"{before}team{after}"
    assert Rule.parse("groups=team").holds({"groups": [told]}) is (told == "team")


@pytest.mark.parametrize("text", ["groups", "=team", "groups=", "groups=a||b", " ; ", "groups=a;b"])
def test_a_rule_that_cannot_be_read_names_its_setting(text: str) -> None:
    with pytest.raises(ValueError, match="OIDC_REQUIRED_CLAIM must be like groups=team"):
        Rule.parse(text, "OIDC_REQUIRED_CLAIM")


def test_a_claim_of_just_that_name_comes_before_one_that_dots_lead_to() -> None:
    assert value_of({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert value_of({"a": {"b": 2}}, "a.b") == 2
    assert value_of({"a": "b"}, "a.b") is MISSING


@pytest.mark.parametrize("verified", [False, None, "true", 1, [True]])
@pytest.mark.parametrize("trusted", [True, False])
def test_an_email_that_is_said_not_to_be_verified_never_counts(verified: object, trusted: bool) -> None:
    claims = {"email": "ann@example.com", "email_verified": verified}
    with pytest.raises(EmailUnverified):
        verified_email(claims, trusted=trusted)


def test_an_email_of_which_nothing_is_said_counts_only_where_the_provider_is_trusted() -> None:
    with pytest.raises(EmailUnverified):
        verified_email({"email": "ann@example.com"})
    assert verified_email({"email": "ann@example.com"}, trusted=True) == "ann@example.com"
    upn = {"email": "x@y.z", "email_verified": False, "preferred_username": "ann@example.com"}
    assert verified_email(upn, "preferred_username", trusted=True) == "ann@example.com"


@pytest.mark.parametrize(
    "email", ["", "ann", "a@b@c", "a b@c", "a@b\n", "<a@b>", "a" * 65 + "@b", None, ["a@b"]]
)
def test_what_is_no_email_is_none(email: object) -> None:
    with pytest.raises(EmailUnverified):
        verified_email({"email": email, "email_verified": True})
