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
    if settings.master_key is not None:
        texts = settings.master_key.get_secret_value().split(",")
        return Vault(*(decode_key(text, "SHMASTRA_MASTER_KEY") for text in texts))
    file = KeyFile(settings.master_key_file or settings.data / "master.key")
    if not file.path.exists():
        file.create()
    return Vault(*file.read(), file=file)
