"""Virtual keys: ``vk_<userId>_<hex>``, of which a look-up needs only the SHA-256."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

PURPOSE_KEY = "users.virtual_key"
HEX_BYTES = 24


def new_virtual_key(user_id: UUID) -> str:
    """Make a fresh key for a user: 48 hexadecimal digits of randomness."""
    return f"vk_{user_id}_{secrets.token_hex(HEX_BYTES)}"


def key_hash(key: str) -> bytes:
    """Return what a key is looked up by."""
    return hashlib.sha256(key.encode()).digest()
