"""The identity package's error tree; drawn in the package's docstring."""


class IdentityError(Exception):
    """Anything that keeps somebody from being known."""


class LinkSpent(IdentityError):
    """The one-time link cannot be used (any more)."""


class UnknownUser(IdentityError):
    """No user has that email."""


class LastAdmin(IdentityError):
    """There would be no admin any more."""


class ShutOut(IdentityError):
    """The identity provider knows him, and an admin of this cloud has disabled him."""


class EmailTaken(IdentityError):
    """The email that the identity provider tells is that of a user whom it knows as somebody else."""


class TooManyAttempts(IdentityError):
    """Too many attempts to sign in; ``seconds`` until there may be another one."""

    def __init__(self, seconds: float) -> None:
        super().__init__("There were too many attempts to sign in. Wait a minute, then try again.")
        self.seconds = max(1, round(seconds))
