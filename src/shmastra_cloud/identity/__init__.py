"""Who is asking: users, one-time links, sessions and virtual keys.

IdentityError
├── LinkSpent        the one-time link was used, has expired or never was
└── UnknownUser      no user has that email
"""

from shmastra_cloud.identity.errors import IdentityError, LinkSpent, UnknownUser
from shmastra_cloud.identity.keys import PURPOSE_KEY, key_hash, new_virtual_key
from shmastra_cloud.identity.links import LINK_LIFE, make_link, spend_link
from shmastra_cloud.identity.sessions import Sessions, User, cookie_name
from shmastra_cloud.identity.users import Users, owner_of_key, renew_keys

__all__ = [
    "LINK_LIFE",
    "PURPOSE_KEY",
    "IdentityError",
    "LinkSpent",
    "Sessions",
    "UnknownUser",
    "User",
    "Users",
    "cookie_name",
    "key_hash",
    "make_link",
    "new_virtual_key",
    "owner_of_key",
    "renew_keys",
    "spend_link",
]
