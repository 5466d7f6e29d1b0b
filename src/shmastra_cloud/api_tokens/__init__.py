"""Tokens that admins' command lines elsewhere ask with, and how one is come by (as in RFC 8628).

TokenError
├── LoginPending      nobody has decided about the log-in yet
├── LoginSlow         it was asked about too soon
├── LoginExpired      nobody decided in time, or there never was such a log-in
├── LoginDenied       an admin has said no
├── TooManyLogins     too many wait for an admin's word already
└── UnknownToken      there is no such token
"""

from shmastra_cloud.api_tokens.errors import (
    LoginDenied,
    LoginExpired,
    LoginPending,
    LoginSlow,
    TokenError,
    TooManyLogins,
    UnknownToken,
)
from shmastra_cloud.api_tokens.logins import Login, Logins
from shmastra_cloud.api_tokens.tokens import Holder, Made, Tokens

__all__ = [
    "Holder",
    "Login",
    "LoginDenied",
    "LoginExpired",
    "LoginPending",
    "LoginSlow",
    "Logins",
    "Made",
    "TokenError",
    "Tokens",
    "TooManyLogins",
    "UnknownToken",
]
