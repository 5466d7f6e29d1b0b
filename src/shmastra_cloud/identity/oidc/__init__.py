"""Signing in with any OpenID Connect provider, and staying signed in only while it says yes.

OidcError
├── ProviderAway          it does not answer, or with what is no answer
├── ProviderUnsuitable    what it says of itself cannot be used
├── Refused               it does not give what was asked for
├── BadToken              a token is not what this cloud asked for, or nobody vouches for it
│   └── UnknownKey        it is signed with a key that is not among those known
├── BadAttempt            what comes back belongs to no sign-in that this browser began
├── NotAMember            it knows him, and does not say that he belongs here
└── EmailUnverified       it does not say that the email is his
"""

from shmastra_cloud.identity.oidc.config import Config
from shmastra_cloud.identity.oidc.discovery import Metadata
from shmastra_cloud.identity.oidc.errors import (
    BadAttempt,
    BadToken,
    EmailUnverified,
    NotAMember,
    OidcError,
    ProviderAway,
    ProviderUnsuitable,
    Refused,
    UnknownKey,
)
from shmastra_cloud.identity.oidc.provider import Provider
from shmastra_cloud.identity.oidc.way import oidc_way

__all__ = [
    "BadAttempt",
    "BadToken",
    "Config",
    "EmailUnverified",
    "Metadata",
    "NotAMember",
    "OidcError",
    "Provider",
    "ProviderAway",
    "ProviderUnsuitable",
    "Refused",
    "UnknownKey",
    "oidc_way",
]
