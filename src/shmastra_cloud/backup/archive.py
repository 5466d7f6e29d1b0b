"""The file of a backup: a tar stream under one zstd frame, written and read front to back in bounded memory.

A member is cut into parts of at most 4 MiB, files of their own named ``MEMBER/000000``, ``MEMBER/000001``
and so on, so that nobody has to know beforehand how long it is. ``tar --extract`` takes them out, and ``cat``
puts them together again. Only plain files with ustar headers stand in it; the reader takes nothing else.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import zstandard

from shmastra_cloud.backup.errors import BadBackup

if TYPE_CHECKING:
    from collections.abc import Iterator

PART_BYTES = 4 << 20
LEVEL = 3
NAME = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*")
MAX_NAME = 90
MAX_MEMBERS = 10_000  # two of each sandbox and template, one of each table
BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Member:
    """What was written of a member: bytes, and their SHA-256 in hexadecimal digits."""

    name: str
    size: int
    sha256: str


@dataclass
class _Sum:
    """What has gone by of a member."""

    name: str
    size: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.digest.update(data)

    def member(self) -> Member:
        return Member(self.name, self.size, self.digest.hexdigest())


class Writer:
    """Writes a backup; :attr:`members` says what stands in it so far."""

    def __init__(self, out: IO[bytes]) -> None:
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=-1)
        self._out = compressor.stream_writer(out, closefd=False)
        self.members: list[Member] = []

    @contextmanager
    def member(self, name: str) -> Iterator[Sink]:
        """Give a sink for a member's bytes; an error leaves it unfinished, and the backup useless."""
        sink = Sink(self._out, name)
        yield sink
        self.members.append(sink.finish())

    def add(self, name: str, data: bytes) -> None:
        """Write a short member."""
        with self.member(name) as sink:
            sink.write(data)

    def finish(self) -> None:
        """Write the end."""
        self._out.write(b"\0" * 2 * BLOCK)
        self._out.close()  # type: ignore[no-untyped-call]


class Sink:
    """Takes a member's bytes."""

    def __init__(self, out: IO[bytes], name: str) -> None:
        if not NAME.fullmatch(name) or len(name) > MAX_NAME:
            raise ValueError(f"{name!r} cannot be a member's name.")
        self._out, self._sum = out, _Sum(name)
        self._held = bytearray()
        self._parts = 0

    def write(self, data: bytes) -> None:
        """Take some more bytes."""
        self._sum.add(data)
        self._held += data
        while len(self._held) >= PART_BYTES:
            self._part(bytes(self._held[:PART_BYTES]))
            del self._held[:PART_BYTES]

    def finish(self) -> Member:
        """Write what is left, and return what it came to."""
        if self._held or not self._parts:
            self._part(bytes(self._held))
        return self._sum.member()

    def _part(self, data: bytes) -> None:
        header = tarfile.TarInfo(f"{self._sum.name}/{self._parts:06}")
        header.size, header.mode = len(data), 0o600
        self._out.write(header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict"))
        self._out.write(data)
        self._out.write(b"\0" * (-len(data) % BLOCK))
        self._parts += 1


class Reader:
    """Reads a backup once, front to back; what it is given is taken for hostile."""

    def __init__(self, file: IO[bytes]) -> None:
        decompressor = zstandard.ZstdDecompressor()  # which takes no window over 128 MiB
        self._in = decompressor.stream_reader(file, closefd=False)
        self._next: tuple[str, int, int] | None = None
        self.read: list[Member] = []

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Give each member's name and its bytes, which are read to their end before the next one is given.

        :attr:`read` grows by each member when it has gone by.

        Raises:
            BadBackup: the file is none, is damaged, or ends early.
        """
        self._next = self._header()
        while self._next is not None:
            found = _Sum(self._next[0])
            body = self._body(found)
            yield found.name, body
            for _ in body:
                pass
            if len(self.read) == MAX_MEMBERS:
                raise BadBackup("The file holds more than a backup can: it is none, or it was changed.")
            self.read.append(found.member())
        self._check_end()

    def _body(self, found: _Sum) -> Iterator[bytes]:
        part = 0
        while self._next is not None and self._next[0] == found.name:
            _, number, size = self._next
            if number != part:
                raise BadBackup("The parts of the backup are not in order: it was changed.")
            data = self._exactly(size)
            self._exactly(-size % BLOCK)
            found.add(data)
            part += 1
            self._next = self._header()
            yield data
        if part == 0:
            raise BadBackup("The parts of the backup are not in order: it was changed.")

    def _header(self) -> tuple[str, int, int] | None:
        """Return the next part's member, number and size; None at the end."""
        block = self._exactly(BLOCK)
        if not block.strip(b"\0"):
            return None
        try:
            told = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise BadBackup("This is not a backup of Shmastra Cloud, or it is damaged.") from error
        name, _, number = told.name.rpartition("/")
        plain = told.type == tarfile.REGTYPE and not told.linkname and 0 <= told.size <= PART_BYTES
        if not plain or not NAME.fullmatch(name) or len(number) != 6 or not number.isdecimal():
            raise BadBackup("The file holds what no backup does: it is none, or it was changed.")
        return name, int(number), told.size

    def _check_end(self) -> None:
        if self._exactly(BLOCK).strip(b"\0") or self._some(1):
            raise BadBackup("The file goes on behind the backup's end: it was changed.")

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            piece = self._some(size - len(found))
            if not piece:
                raise BadBackup("The backup ends early: it was not written or copied to its end.")
            found += piece
        return bytes(found)

    def _some(self, size: int) -> bytes:
        try:
            return self._in.read(size)
        except zstandard.ZstdError as error:
            raise BadBackup("This is not a backup of Shmastra Cloud, or it is damaged.") from error
