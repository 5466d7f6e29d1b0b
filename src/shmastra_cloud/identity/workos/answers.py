"""The plain pages of what can go wrong on the way in, each with what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.identity.errors import EmailTaken, IdentityError, ShutOut
from shmastra_cloud.identity.workos.errors import Away, KeyRefused, NotMember, Refused, Unverified
from shmastra_cloud.pages import page

if TYPE_CHECKING:
    from starlette.responses import Response

START = "/login/workos"
AGAIN = ("Try again", START)
RETRY_SECONDS = 5
OTHER_WAY = frozenset(
    {
        "sso_required",
        "mfa_enrollment",
        "mfa_challenge",
        "authentication_method_not_allowed",
        "organization_authentication_methods_required",
        "email_verification_required",
        "radar_challenge",
    }
)


def trouble(
    status: int, title: str, *text: str, links: tuple[tuple[str, str], ...] = (AGAIN,), retry: bool = False
) -> Response:
    """Return a page that says what happened, why, and what to do."""
    answer = page("sign_in_trouble.html", status=status, title=title, text=text, links=links)
    if retry:
        answer.headers["retry-after"] = str(RETRY_SECONDS)
    return answer


def refusal(error: IdentityError, somebody_else: str | None = None) -> Response:
    """Return the page for somebody who may not come in; ``somebody_else`` is where he changes who he is."""
    elsewhere = (("Sign in as somebody else", somebody_else),) if somebody_else else ()
    match error:
        case KeyRefused():
            answer = trouble(
                503,
                "Signing in is not set up rightly",
                "WorkOS does not accept this cloud's key. An admin sees more with: shmastra doctor",
                retry=True,
            )
        case Away():
            answer = trouble(
                503,
                "WorkOS does not answer",
                "Nothing of yours is lost, and sessions that are open go on. Try again in a moment.",
                retry=True,
            )
        case NotMember():
            answer = trouble(
                403,
                "You are not a member of this organization",
                str(error),
                "Ask an admin of your organization to invite you, accept the invitation, and sign in again.",
                links=(*elsewhere, AGAIN),
            )
        case Unverified():
            answer = trouble(
                403,
                "Your email is not verified",
                str(error),
                "Sign in by a code that is mailed to you: that verifies it.",
                links=(("Get a code by email", f"{START}/email"), AGAIN),
            )
        case ShutOut() | EmailTaken():
            answer = trouble(403, "You cannot come in", str(error), links=(("Back", "/"),))
        case Refused() if error.code in OTHER_WAY:
            answer = trouble(
                403,
                "Your organization asks for another way to sign in",
                "A code by email is not enough, or one more step is needed: sign in on WorkOS's own page.",
                links=(("Sign in with WorkOS", START),),
            )
        case _:
            text = "It took too long, or was used already. Start it again."
            answer = trouble(400, "This sign-in cannot be finished", text)
    return answer
