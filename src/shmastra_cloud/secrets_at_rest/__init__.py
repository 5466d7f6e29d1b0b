"""Secrets at rest: AES-256-GCM under a master key that the database never sees, and how that key is replaced.

MasterKeyError            the master key cannot be had, or is not the one that sealed a secret
└── RotationRefused       the key was not replaced, or not wholly; what is there can be opened as before
"""

from shmastra_cloud.secrets_at_rest.columns import SEALED, SealedColumn
from shmastra_cloud.secrets_at_rest.errors import MasterKeyError, RotationRefused
from shmastra_cloud.secrets_at_rest.holders import HEARD, Holding
from shmastra_cloud.secrets_at_rest.key_file import KeyFile, decode_key
from shmastra_cloud.secrets_at_rest.rotation import Rotation, rotate
from shmastra_cloud.secrets_at_rest.sources import find_vault, load_vault
from shmastra_cloud.secrets_at_rest.vault import Vault, key_name

__all__ = [
    "HEARD",
    "SEALED",
    "Holding",
    "KeyFile",
    "MasterKeyError",
    "Rotation",
    "RotationRefused",
    "SealedColumn",
    "Vault",
    "decode_key",
    "find_vault",
    "key_name",
    "load_vault",
    "rotate",
]
