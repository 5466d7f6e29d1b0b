"""Seals and opens secrets with the master keys at hand.

A ciphertext is the version byte 2, the first 8 bytes of its key's fingerprint, a 12-byte nonce and the sealed
text with its tag; in the older version 1 the key is not named. The column is authenticated with it.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shmastra_cloud.secrets_at_rest.columns import PURPOSES
from shmastra_cloud.secrets_at_rest.errors import MasterKeyError

if TYPE_CHECKING:
    from pathlib import Path

    from shmastra_cloud.secrets_at_rest.key_file import KeyFile

log = logging.getLogger(__name__)

UNNAMED, NAMED = b"\x01", b"\x02"
KEY_BYTES = 32
NAME_BYTES = 8
NONCE_BYTES = 12


def fingerprint_of(key: bytes) -> bytes:
    """Return what a key is known by outside: 32 bytes that say nothing of it."""
    return hashlib.sha256(b"shmastra master key\0" + key).digest()


def key_name(fingerprint: bytes) -> str:
    """Return what a key is called in sentences and in names of files."""
    return fingerprint[:NAME_BYTES].hex()


class Vault:
    """One or several master keys, of which one seals and every one opens.

    The database says which key seals (:meth:`use`). Keys that stand in a file are read again when a
    ciphertext names one that is not at hand, so a running process follows a change of the key.
    """

    def __init__(self, *keys: bytes, file: KeyFile | None = None) -> None:
        self.file = file
        self._keys: dict[bytes, AESGCM] = {}
        self.fingerprint = b""
        for key in keys:
            self._learn(key)
        self.fingerprint = next(iter(self._keys))

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """The keys that are at hand."""
        return frozenset(self._keys)

    def seal(self, text: str, purpose: str) -> bytes:
        """Encrypt ``text`` for the column that ``purpose`` names.

        Raises:
            ValueError: the column is not one of ``SEALED``, so that a rotation would not know of it.
        """
        if purpose not in PURPOSES:
            raise ValueError(f"{purpose} is not in SEALED (secrets_at_rest/columns.py)")
        nonce = secrets.token_bytes(NONCE_BYTES)
        body = self._keys[self.fingerprint].encrypt(nonce, text.encode(), purpose.encode())
        return NAMED + self.fingerprint[:NAME_BYTES] + nonce + body

    def open(self, sealed: bytes, purpose: str) -> str:
        """Decrypt what :meth:`seal` made for the same purpose.

        Raises:
            MasterKeyError: a key that is not at hand or another purpose sealed it, or it was changed.
        """
        named = sealed[:1] == NAMED
        name = sealed[1 : 1 + NAME_BYTES] if named else b""
        body = sealed[1 + len(name) :]
        for again in (False, True):
            if again:
                self.reload()
            for fingerprint, key in self._keys.items():
                text = self._try(key, body, purpose) if fingerprint.startswith(name) else None
                if text is not None:
                    return text
        if named and not any(fingerprint.startswith(name) for fingerprint in self._keys):
            raise MasterKeyError(
                f"A stored secret is sealed under the master key {name.hex()}, which this process does not "
                f"have. {self._where()}"
            )
        raise MasterKeyError("A stored secret does not open with this master key.")

    def use(self, fingerprint: bytes) -> None:
        """Seal with that key from now on.

        Raises:
            MasterKeyError: it is not at hand.
        """
        if fingerprint not in self._keys:
            self.reload()
        if fingerprint not in self._keys:
            raise MasterKeyError(
                f"The present master key, {key_name(fingerprint)}, is not at hand. {self._where()}"
            )
        self.fingerprint = fingerprint

    def reload(self) -> None:
        """Read the file again, if there is one; the key that seals is never let go."""
        if self.file is None:
            return
        try:
            keys = self.file.read()
        except MasterKeyError as error:
            log.warning("the master keys are kept as they were: %s", error)
            return
        present = self._keys[self.fingerprint]
        self._keys = {fingerprint_of(key): AESGCM(key) for key in keys} | {self.fingerprint: present}

    def add(self, key: bytes) -> bytes:
        """Have a further key at hand, in the file too, and return its fingerprint.

        Raises:
            MasterKeyError: the key has another size, or the file cannot be written.
        """
        if self.file is not None:
            self.file.add(key)  # first: a key that is only in memory must never seal
        self._learn(key)
        return fingerprint_of(key)

    def retire(self, fingerprint: bytes) -> Path | None:
        """Let a key go; return the file that it was moved to, None where it came from no file.

        Raises:
            MasterKeyError: the file cannot be written.
        """
        moved = None if self.file is None else self.file.retire(fingerprint)
        self._keys.pop(fingerprint, None)
        return moved

    def _learn(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise MasterKeyError("The master key must be 32 bytes, base64-encoded.")
        self._keys[fingerprint_of(key)] = AESGCM(key)

    def _where(self) -> str:
        if self.file is None:
            return (
                "Give SHMASTRA_MASTER_KEY that key too (several, with commas between them), and start again."
            )
        return f"Add that key to {self.file.path}, one key on a line."

    @staticmethod
    def _try(key: AESGCM, body: bytes, purpose: str) -> str | None:
        try:
            return key.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError):
            return None
