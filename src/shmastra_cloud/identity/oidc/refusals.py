"""What is said to somebody who cannot come in: what happened, why, and what to do; in our own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.identity.errors import EmailTaken, ShutOut
from shmastra_cloud.identity.oidc.errors import (
    BadAttempt,
    EmailUnverified,
    NotAMember,
    ProviderAway,
    ProviderUnsuitable,
    Refused,
)

if TYPE_CHECKING:
    from shmastra_cloud.identity.oidc.config import Config


@dataclass(frozen=True)
class Refusal:
    """A page of few words."""

    status: int
    title: str
    why: str
    todo: str


_NOT_A_MEMBER = "You are signed in there, but you are not a member here"
# The provider's words (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6), in ours.
_SAID = {
    "access_denied": (
        403,
        "it says that you may not, or that you pressed Cancel",
        "Try again, or ask who administers it to assign this application to you.",
    ),
    "temporarily_unavailable": (503, "it is not available at the moment", "Try again in a minute."),
    "server_error": (502, "something failed there", "Try again in a minute."),
    "invalid_grant": (
        400,
        "the code that it gave was used already, is too old, or was given to another browser",
        "Try again.",
    ),
    "invalid_client": (
        502,
        "it does not accept this cloud's client id or secret",
        "Tell an admin: OIDC_CLIENT_ID and OIDC_CLIENT_SECRET must be the provider's present ones.",
    ),
    "unauthorized_client": (
        502,
        "this cloud's client there may not sign people in this way",
        "Tell an admin: the client needs the authorization code flow.",
    ),
    "invalid_scope": (
        502,
        "it does not know a scope that this cloud asks for",
        "Tell an admin: OIDC_SCOPES must name scopes that it has.",
    ),
}
_INTERACTION = ("login_required", "interaction_required", "consent_required", "account_selection_required")


def refusal_for(error: Exception, config: Config) -> Refusal:  # noqa: PLR0911 -- one for each error
    """Return what is said about an error."""
    name = config.name
    match error:
        case NotAMember():
            return _not_a_member(config)
        case EmailUnverified():
            return Refusal(
                403,
                _NOT_A_MEMBER,
                f"{name} does not say that your email address is verified, so who you are is not known here.",
                f"Verify your address at {name}, or ask an admin, then try again.",
            )
        case ShutOut():
            return Refusal(
                403, "You are shut out", str(error), "Ask an admin of this cloud to let you in again."
            )
        case EmailTaken():
            return Refusal(
                403,
                _NOT_A_MEMBER,
                "Your email address belongs to another account here.",
                "Ask an admin: `shmastra user remove` with that address makes it free.",
            )
        case BadAttempt():
            return Refusal(
                400,
                "This attempt to sign in is over",
                "It took longer than ten minutes, was used already, or was begun in another browser or tab.",
                "Begin again.",
            )
        case Refused():
            return _refused(error.code, name)
        case ProviderUnsuitable():
            return Refusal(
                502,
                f"{name} cannot be used as it is set up",
                "What it says of itself does not fit this cloud's settings.",
                "Tell an admin: `shmastra doctor` names what is wrong.",
            )
        case ProviderAway():
            return Refusal(
                502,
                f"{name} does not answer",
                "It was asked, and gave no answer that can be used.",
                "Try again in a minute, or tell an admin: `shmastra doctor` names what is wrong.",
            )
    return Refusal(
        502,
        f"{name} gave an answer that cannot be trusted",
        "What should vouch for you was made for somebody else, is too old, or is not signed as it should be.",
        "Try again; if that does not help, tell an admin: the log says why.",
    )


def _not_a_member(config: Config) -> Refusal:
    if config.required is None:
        why = "This cloud lets in who was invited, and nobody has invited your email address."
        todo = "Ask an admin of this cloud: `shmastra user invite` with your address lets you in."
    else:
        why = f"This cloud lets in the members of one team, and {config.name} does not count you among them."
        todo = f"Ask who administers {config.name} to add you, or sign in there as somebody else."
    return Refusal(403, _NOT_A_MEMBER, why, todo)


def _refused(code: str, name: str) -> Refusal:
    if code in _INTERACTION:
        status, why, todo = 400, "it wants something of you first", "Try again, and answer what it asks."
    else:
        status, why, todo = _SAID.get(
            code, (502, "it gave no reason that is known", "Try again, or tell an admin.")
        )
    return Refusal(status, f"{name} did not sign you in", f"You came back, but {why}.", todo)
