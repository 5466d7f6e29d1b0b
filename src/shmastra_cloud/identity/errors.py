"""The identity package's error tree; drawn in the package's docstring."""


class IdentityError(Exception):
    """Anything that keeps somebody from being known."""


class LinkSpent(IdentityError):
    """The one-time link cannot be used (any more)."""


class UnknownUser(IdentityError):
    """No user has that email."""
