"""Who is asking: users, one-time links, sessions and virtual keys.

IdentityError
├── LinkSpent        the one-time link was used, has expired or never was
├── UnknownUser      no user has that email
├── LastAdmin        there would be no admin any more
├── ShutOut          an admin of this cloud has disabled whom the identity provider knows
├── EmailTaken       the identity provider tells an email that is another user's
└── TooManyAttempts  too many attempts to sign in, from one address or in all
"""

from shmastra_cloud.identity.arrival import Arrival, admit
from shmastra_cloud.identity.attempts import Attempts
from shmastra_cloud.identity.errors import (
    EmailTaken,
    IdentityError,
    LastAdmin,
    LinkSpent,
    ShutOut,
    TooManyAttempts,
    UnknownUser,
)
from shmastra_cloud.identity.keys import PURPOSE_KEY, key_hash, new_virtual_key
from shmastra_cloud.identity.links import LINK_LIFE, make_link, spend_link
from shmastra_cloud.identity.links import hash_token as session_hash
from shmastra_cloud.identity.membership import MEMBERSHIP
from shmastra_cloud.identity.sessions import Device, Provided, Sessions, User, cookie_name
from shmastra_cloud.identity.users import Users, owner_of_key, renew_keys
from shmastra_cloud.identity.ways import Way

__all__ = [
    "LINK_LIFE",
    "MEMBERSHIP",
    "PURPOSE_KEY",
    "Arrival",
    "Attempts",
    "Device",
    "EmailTaken",
    "IdentityError",
    "LastAdmin",
    "LinkSpent",
    "Provided",
    "Sessions",
    "ShutOut",
    "TooManyAttempts",
    "UnknownUser",
    "User",
    "Users",
    "Way",
    "admit",
    "cookie_name",
    "key_hash",
    "make_link",
    "new_virtual_key",
    "owner_of_key",
    "renew_keys",
    "session_hash",
    "spend_link",
]
