"""Where the master keys come from: the environment, else a file that is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shmastra_cloud.secrets_at_rest.key_file import KeyFile, decode_key
from shmastra_cloud.secrets_at_rest.vault import Vault

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings


def load_vault(settings: Settings) -> Vault:
    """Take the master keys from the environment or their file; make the file once if there is none.

    Raises:
        MasterKeyError: a key is there but malformed, or the file cannot be read.
    """
    found = find_vault(settings)
    if found is not None:
        return found
    _file(settings).create()
    return load_vault(settings)


def find_vault(settings: Settings) -> Vault | None:
    """Take the master keys from where they are, or return None where their file is not made yet.

    Raises:
        MasterKeyError: a key is there but malformed, or the file cannot be read.
    """
    if settings.master_key is not None:
        texts = settings.master_key.get_secret_value().split(",")
        return Vault(*(decode_key(text, "SHMASTRA_MASTER_KEY") for text in texts))
    file = _file(settings)
    return Vault(*file.read(), file=file) if file.path.exists() else None


def _file(settings: Settings) -> KeyFile:
    return KeyFile(settings.master_key_file or settings.data / "master.key")
