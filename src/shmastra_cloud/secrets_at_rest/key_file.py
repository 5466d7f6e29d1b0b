"""The file of master keys: one key on a line, in base64; written whole or not at all, for its owner only."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmastra_cloud.secrets_at_rest.errors import MasterKeyError
from shmastra_cloud.secrets_at_rest.vault import KEY_BYTES, fingerprint_of, key_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def new_key() -> bytes:
    """Make a master key."""
    return secrets.token_bytes(KEY_BYTES)


def decode_key(text: str, source: str) -> bytes:
    """Return the key that stands in ``text``.

    Raises:
        MasterKeyError: it is not 32 bytes in base64; the message names ``source`` and shows nothing of it.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MasterKeyError(f"{source} does not hold 32 bytes in base64.") from error
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"{source} does not hold 32 bytes in base64.")
    return key


@dataclass(frozen=True)
class KeyFile:
    """A file of master keys."""

    path: Path

    def read(self) -> list[bytes]:
        """Return its keys.

        Raises:
            MasterKeyError: it cannot be read, or a line of it is no key.
        """
        try:
            lines = self.path.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise MasterKeyError(f"Cannot read the master key file {self.path}: {reason}.") from error
        if not lines:
            raise MasterKeyError(f"The master key file {self.path} is empty. Put the key back into it.")
        return [decode_key(line, str(self.path)) for line in lines]

    def create(self) -> None:
        """Write a new key, unless the file is there by then, so that two starts agree on one key.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch([new_key()], self.path)
        try:
            os.link(scratch, self.path)
        except FileExistsError:
            return
        finally:
            scratch.unlink()

    def add(self, key: bytes) -> None:
        """Write a further key, unless it is in there.

        Raises:
            MasterKeyError: the file cannot be written.
        """
        keys = self.read()
        if key not in keys:
            self._replace([*keys, key], self.path.resolve())

    def retire(self, fingerprint: bytes) -> Path | None:
        """Move a key into a file of its own beside this one, and return that file's path, if there is one.

        Raises:
            MasterKeyError: the files cannot be written.
        """
        keys = self.read()
        real = self.path.resolve()
        place = real.with_name(f"{real.name}.retired-{key_name(fingerprint)}")
        gone = [key for key in keys if fingerprint_of(key) == fingerprint]
        if gone:
            self._replace(gone, place)
            self._replace([key for key in keys if key not in gone], real)
        return place if place.exists() else None

    def _replace(self, keys: Sequence[bytes], path: Path) -> None:
        try:
            scratch = self._scratch(keys, path)
            try:
                owner = self.path.stat()
                os.chown(scratch, owner.st_uid, owner.st_gid)
                scratch.replace(path)
            finally:
                scratch.unlink(missing_ok=True)
            _sync(path.parent)
        except OSError as error:
            raise MasterKeyError(
                f"Cannot write {path}: {error.strerror}. A rotation needs to write there; where the file is "
                "put in place by something else, let that write the new key on a second line, and run this "
                "again."
            ) from error

    @staticmethod
    def _scratch(keys: Sequence[bytes], path: Path) -> Path:
        scratch = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(base64.b64encode(key) + b"\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        return scratch


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
