"""The error tree of signing in with WorkOS; drawn in the package's docstring."""

from __future__ import annotations

from shmastra_cloud.identity.errors import IdentityError


class WorkosError(IdentityError):
    """Anything that keeps somebody from coming in through WorkOS."""


class Away(WorkosError):
    """WorkOS gave no answer that could be used, in time; the same may work in a moment."""


class KeyRefused(Away):
    """WorkOS refuses our API key or client id, which says nothing about whom it was asked for."""


class Refused(WorkosError):
    """WorkOS refuses what was shown to it: a code, or a session that has ended; ``code`` says why."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class Unverified(WorkosError):
    """WorkOS has not verified his email, so it may be another's."""


class NotMember(WorkosError):
    """He has no active membership in our organization. ``session`` is the one that he has at WorkOS now."""

    def __init__(self, text: str, session: str) -> None:
        super().__init__(text)
        self.session = session


class BadWebhook(WorkosError):
    """A delivery that WorkOS did not sign, or not just now."""
