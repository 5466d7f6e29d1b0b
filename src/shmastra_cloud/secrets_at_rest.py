"""Secrets at rest: AES-256-GCM under one master key that the database never sees.

``MasterKeyError`` is raised when the key is missing, malformed, or not the one the database was written
under. A ciphertext is a version byte, a 12-byte nonce and the sealed text with its tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from pathlib import Path

    from shmastra_cloud.settings import Settings

VERSION = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12


class MasterKeyError(Exception):
    """The master key cannot be had, or is not the one that sealed a secret."""


class Vault:
    """Seals and opens short secrets; ``purpose`` binds a ciphertext to the column it stands in."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise MasterKeyError("The master key must be 32 bytes, base64-encoded.")
        self._aead = AESGCM(key)
        self.fingerprint = hashlib.sha256(b"shmastra master key\0" + key).digest()

    def seal(self, text: str, purpose: str) -> bytes:
        """Encrypt ``text`` for ``purpose``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return VERSION + nonce + self._aead.encrypt(nonce, text.encode(), purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> str:
        """Decrypt what :meth:`seal` made for the same purpose.

        Raises:
            MasterKeyError: another key or another purpose sealed it, or it was changed.
        """
        nonce, body = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, body, purpose.encode()).decode()
        except InvalidTag as error:
            raise MasterKeyError("A stored secret does not open with this master key.") from error


def load_vault(settings: Settings) -> Vault:
    """Take the master key from the environment or its file; make the file once if there is none.

    Raises:
        MasterKeyError: the key is there but malformed, or its file cannot be read.
    """
    if settings.master_key is not None:
        return Vault(_decode(settings.master_key.get_secret_value(), "SHMASTRA_MASTER_KEY"))
    path = settings.master_key_file or settings.data / "master.key"
    if not path.exists():
        _create(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise MasterKeyError(f"Cannot read the master key file {path}: {error.strerror}.") from error
    return Vault(_decode(text, str(path)))


def _decode(text: str, source: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise MasterKeyError(f"{source} does not hold 32 bytes in base64.") from error


def _create(path: Path) -> None:
    """Write a new key under a private name and link it into place, so that two starts agree on one key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(scratch, path)
    except FileExistsError:
        return
    finally:
        scratch.unlink()
