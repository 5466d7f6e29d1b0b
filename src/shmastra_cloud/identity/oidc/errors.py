"""The error tree of signing in with OpenID Connect; drawn in the package's docstring."""


class OidcError(Exception):
    """Anything that keeps somebody from signing in with the provider; the message is for our log only."""


class ProviderAway(OidcError):
    """The provider does not answer, or with what is no answer; it may later."""


class ProviderUnsuitable(OidcError):
    """What the provider says of itself cannot be used; the message names the fix."""


class Refused(OidcError):
    """The provider does not give what was asked for; ``code`` is one of OAuth's own words, or ``unknown``."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the provider refused: {code}")
        self.code = code


class BadToken(OidcError):
    """A token is not what this cloud asked for, or nobody vouches for it."""


class UnknownKey(BadToken):
    """A token is signed with a key that is not among those known."""


class BadAttempt(OidcError):
    """What comes back belongs to no sign-in that this browser began, or not any more."""


class NotAMember(OidcError):
    """The provider knows him, and does not say that he belongs here."""


class EmailUnverified(OidcError):
    """The provider tells no email, or does not say that it is his."""
