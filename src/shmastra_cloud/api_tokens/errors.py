"""The errors of API tokens; drawn in the package's docstring.

``code`` is that of RFC 8628, 3.5, where it has one.
"""

from __future__ import annotations

from typing import ClassVar


class TokenError(Exception):
    """A token can be neither come by nor used."""

    code: ClassVar[str] = "bad_token"


class LoginPending(TokenError):
    """Nobody has decided yet."""

    code = "authorization_pending"


class LoginSlow(TokenError):
    """It was asked about too soon."""

    code = "slow_down"


class LoginExpired(TokenError):
    """Nobody decided in time, or there never was such a log-in."""

    code = "expired_token"


class LoginDenied(TokenError):
    """An admin has said no."""

    code = "access_denied"


class TooManyLogins(TokenError):
    """Too many wait for an admin's word already."""

    code = "too_many_logins"


class UnknownToken(TokenError):
    """There is no such token."""

    code = "unknown_token"
