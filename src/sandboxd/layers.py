"""What may stand in a layer's tar stream, which is taken for hostile. No I/O.

A layer holds files, folders, links, pipes, and an overlay's whiteouts (character device 0/0); owners of one
range of uids; and of the attributes a file's own (``user.*``) and those that an overlay reads. Whatever else
an attribute says is this machine's to say, and is left out.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias, cast

from sandboxd.errors import BadLayer

UIDS = 65536
MAX_NAME, MAX_PATH = 255, 4095
XATTR = "SCHILY.xattr."  # as GNU tar and star write them
OVERLAY = frozenset(f"trusted.overlay.{name}" for name in ("opaque", "redirect", "metacopy"))
Kind: TypeAlias = Literal["file", "folder", "symlink", "link", "pipe", "whiteout"]
KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "link",
    tarfile.FIFOTYPE: "pipe",
    tarfile.CHRTYPE: "whiteout",
}


@dataclass(frozen=True)
class Entry:
    """One thing in a layer: ``path`` is relative and without dots, ``()`` the layer's root; times in ns.

    ``target`` is a symlink's text, ``twin`` the path that a hard link shares; ``extents`` are the offsets and
    lengths of a file's data, in order.
    """

    kind: Kind
    path: tuple[bytes, ...]
    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: dict[str, bytes]
    size: int = 0
    extents: tuple[tuple[int, int], ...] = ()
    target: bytes = b""
    twin: tuple[bytes, ...] = ()


def entry(member: tarfile.TarInfo, first_uid: int) -> Entry:
    """Return what a member of a tar stream is.

    Raises:
        BadLayer: no layer of this range of uids can hold it.
    """
    path = _path(member.name)
    kind = KINDS.get(member.type)
    if kind is None or (kind == "whiteout" and (member.devmajor, member.devminor) != (0, 0)):
        raise _bad(member, "is a device, or a kind of file that no layer holds")
    if not all(first_uid <= number < first_uid + UIDS for number in (member.uid, member.gid)):
        raise _bad(member, f"belongs to {member.uid}:{member.gid}, which is not the sandbox's own")
    if (not path and kind != "folder") or (kind != "file" and member.size):
        raise _bad(member, "is not formed as such a file is")
    return Entry(
        kind,
        path,
        member.mode & 0o7777,
        member.uid - first_uid,
        member.gid - first_uid,
        _nanoseconds(member),
        _xattrs(member),
        member.size,
        _extents(member) if kind == "file" else (),
        _target(member) if kind == "symlink" else b"",
        _path(member.linkname) if kind == "link" else (),
    )


def _path(name: str) -> tuple[bytes, ...]:
    raw = os.fsencode(name)
    parts = tuple(raw.removeprefix(b"./").removesuffix(b"/").split(b"/"))
    if parts in ((b".",), (b"",)) and raw.startswith(b"."):
        return ()
    if b"\0" in raw or len(raw) > MAX_PATH or any(not _is_name(part) for part in parts):
        raise BadLayer(f"The name {name[:200]!r} leads out of the layer, or is none.")
    return parts


def _is_name(part: bytes) -> bool:
    return part not in (b"", b".", b"..") and len(part) <= MAX_NAME


def _target(member: tarfile.TarInfo) -> bytes:
    raw = os.fsencode(member.linkname)
    if not raw or b"\0" in raw or len(raw) > MAX_PATH:
        raise _bad(member, "is a link to nothing")
    return raw


def _nanoseconds(member: tarfile.TarInfo) -> int:
    """Return the time of change; the float that the library makes of it has lost its last digits."""
    try:
        told = int(Decimal(member.pax_headers.get("mtime", str(member.mtime))) * 1_000_000_000)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise _bad(member, "has a time that is none") from error
    return min(max(told, 0), (1 << 63) - 1)


def _xattrs(member: tarfile.TarInfo) -> dict[str, bytes]:
    found = {}
    for name, value in member.pax_headers.items():
        attribute = name.removeprefix(XATTR)
        if attribute != name and (attribute.startswith("user.") or attribute in OVERLAY):
            found[attribute] = value.encode("utf-8", "surrogateescape")
    return found


def _extents(member: tarfile.TarInfo) -> tuple[tuple[int, int], ...]:
    """Return where a file's data is, checked to be in order and inside the file."""
    if member.size < 0:
        raise _bad(member, "has a size that is none")
    if member.sparse is None:
        return ((0, member.size),)
    sparse = cast("list[tuple[int, int]]", member.sparse)
    reached = 0
    for offset, length in sparse:
        if offset < reached or length < 0:
            raise _bad(member, "has holes that overlap its data")
        reached = offset + length
    if reached > member.size:
        raise _bad(member, "has data beyond its end")
    return tuple(sparse)


def _bad(member: tarfile.TarInfo, why: str) -> BadLayer:
    return BadLayer(f"{member.name[:200]!r} {why}.")
