"""``shmastra sandbox cp``: files and folders into a sandbox and out of it, whole or not at all.

Both ways a tar stream goes through a program run inside. What comes out of a sandbox is hostile: of its tar
only plain files, folders and links that stay inside are made, in a folder of our own, put into place last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from shmastra_cloud.cli.ask import frames, named
from shmastra_cloud.cli.common import Failed
from shmastra_cloud.cli.inside import feeding
from shmastra_cloud.cli.printing import plain
from shmastra_cloud.cli.progress import Progress
from shmastra_cloud.cli.sandboxes import sandbox
from shmastra_cloud.frames import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 16 << 30  # of what comes out of a sandbox, whose disk is smaller
MAX_FILES = 1_000_000
SAID_BYTES = 2000
CONTENT, COMPLETE = "content", ".complete"

_PUT = f"""
set -eu
path=$1 name=$2
refuse() {{ echo "$1" >&2; exit 1; }}
if [ -d "$path" ]; then path=${{path%/}}/$name; fi
case $path in */) refuse "There is no folder $path in the sandbox.";; esac
parent=$(dirname -- "$path")
[ -d "$parent" ] || refuse "There is no folder $parent in the sandbox."
[ ! -d "$path" ] || refuse "$path is there already. Remove it first, or choose another name."
scratch=$(mktemp -d -- "$parent/.shmastra-cp.XXXXXX")
trap 'rm -rf -- "$scratch"' EXIT
trap 'exit 1' TERM INT HUP
tar -x -f - -C "$scratch"
[ -e "$scratch/{COMPLETE}" ] || refuse "The copy was cut short, so nothing was changed."
[ ! -d "$scratch/{CONTENT}" ] || [ ! -e "$path" ] || refuse "$path is there already, and is no folder."
mv -T -f -- "$scratch/{CONTENT}" "$path"
"""
_GET = """
set -eu
[ -e "$1" ] || { echo "There is no $1 in the sandbox." >&2; exit 1; }
path=$(realpath -- "$1")
[ "$path" != / ] || { echo "Name a folder below /." >&2; exit 1; }
tar -c --hard-dereference -f - -C "$(dirname -- "$path")" -- "$(basename -- "$path")" || [ $? -eq 1 ]
"""


@dataclass(frozen=True)
class Place:
    """One side of a copy: a path in a sandbox (of id or email ``sandbox``), or here."""

    sandbox: str | None
    path: str


@sandbox.command("cp")
def sandbox_cp(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A path here, or ID:PATH.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="A path here, or ID:PATH.")],
) -> None:
    """Copy a file or folder into a sandbox or out of it; a relative PATH starts in the project's folder."""
    here, there = place(source), place(target)
    if (here.sandbox is None) == (there.sandbox is None):
        raise typer.BadParameter("exactly one of SRC and DST must be ID:PATH")
    if there.sandbox is not None:
        put(Path(here.path), there.sandbox, there.path)
        typer.echo(f"copied to {target}")
    elif here.sandbox is not None:
        typer.echo(
            f"copied to {get(here.sandbox, here.path, Path(there.path), slash=there.path.endswith('/'))}"
        )


def place(text: str) -> Place:
    """Read one side; a path here that holds a colon is written with a leading ``./`` or ``/``."""
    name, colon, path = text.partition(":")
    if not colon or "/" in name or name in ("", ".", ".."):
        return Place(None, text)
    return Place(name, path or ".")


def put(source: Path, name: str, path: str) -> None:
    """Copy into a sandbox.

    Raises:
        Failed: something was not there, could not be read, or was in the way.
    """
    if not source.exists():
        raise Failed(f"There is no {source} here.")
    argv = ["/bin/bash", "-c", _PUT, "bash", path, source.resolve().name]
    body = {"argv": argv, "stdin": True, "env": False, "copies": path}
    reading, writing = os.pipe()
    packing = _Packing(source.resolve(), writing)
    with frames("POST", named("sandboxes", name, "exec"), body) as found:
        output = _Output(found)
        feeding(name, output.pid(), reading)
        packing.start()
        output.drain()
    if packing.failure:
        raise Failed(packing.failure)
    output.check()


def get(name: str, path: str, target: Path, *, slash: bool) -> Path:
    """Copy out of a sandbox and return what was made here.

    Raises:
        Failed: something was not there, could not be written, or was in the way.
    """
    if target.is_dir():
        parent, final_name = target, None
    elif slash or not target.parent.is_dir():
        raise Failed(f"There is no folder {target if slash else target.parent} here.")
    else:
        parent, final_name = target.parent, target.name
    body = {"argv": ["/bin/bash", "-c", _GET, "bash", path], "env": False, "copies": path}
    scratch = Path(tempfile.mkdtemp(prefix=".shmastra-cp.", dir=parent))
    try:
        with frames("POST", named("sandboxes", name, "exec"), body) as found:
            output = _Output(found)
            output.pid()
            unpack(output, scratch)
            output.drain()
        output.check()
        return _put_in_place(scratch, parent, final_name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put_in_place(scratch: Path, parent: Path, name: str | None) -> Path:
    made = list(scratch.iterdir())
    if len(made) != 1:
        raise Failed("The sandbox sent nothing that could be copied.")
    final = parent / (name or made[0].name)
    if final.is_dir() or (made[0].is_dir() and final.exists()):
        raise Failed(f"{final} is there already. Remove it first, or choose another name.")
    made[0].rename(final)
    return final


def unpack(stream: IO[bytes] | _Output, folder: Path) -> None:
    """Make what a tar stream holds in an empty folder of ours; links last, so that none is followed.

    Raises:
        Failed: the stream is damaged, too large, or reaches out of the folder.
    """
    links: list[tuple[Path, str]] = []
    size = count = 0
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
            for member in archive:
                size, count = size + member.size, count + 1
                if size > MAX_BYTES or count > MAX_FILES:
                    raise Failed("The sandbox sends more than a sandbox can hold; nothing was copied.")
                path = _inside(folder, member.name)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif member.isfile():
                    _write(archive, member, path)
                elif member.issym() and _stays_inside(member):
                    links.append((path, member.linkname))
    except tarfile.ReadError as error:
        if count:
            raise Failed("The copy was cut short, so nothing was changed.") from error
        return  # the program has said why on its standard error
    for path, target in links:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    with path.open("xb") as file:
        if content is not None:
            shutil.copyfileobj(content, file)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise Failed("The sandbox sent a path that leads elsewhere; nothing was copied.")
    return folder.joinpath(*parts)


def _stays_inside(member: tarfile.TarInfo) -> bool:
    """Tell whether a link leads to something under the copied folder, by its words alone."""
    if member.linkname.startswith("/"):
        return False
    depth = len(PurePosixPath(member.name).parts) - 1
    for part in PurePosixPath(member.linkname).parts:
        depth += -1 if part == ".." else 1
        if depth < 1:
            return False
    return True


@dataclass
class _Output:
    """A running program's output, read like a file; what it says on standard error is kept, up to a bound."""

    frames: Iterator[tuple[Kind, bytes]]
    status: int | None = None
    _said: bytearray = field(default_factory=bytearray)
    _buffer: bytearray = field(default_factory=bytearray)
    _progress: Progress = field(default_factory=Progress)

    def pid(self) -> str:
        """Return the pid inside, as soon as the program has started."""
        for kind, data in self.frames:
            if kind is Kind.STARTED:
                return data.decode()
            if kind is Kind.FAILED:
                raise Failed(plain(data.decode(errors="replace")))
        raise Failed("The sandbox was lost before the copy began.")

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end."""
        while len(self._buffer) < size and self._next():
            pass
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def drain(self) -> None:
        """Read to the end, keeping nothing."""
        while self._next():
            self._buffer.clear()

    def check(self) -> None:
        """Raise what the program said, where it has failed."""
        if self.status is None:
            raise Failed("The sandbox was lost before the copy was complete; nothing was changed.")
        if self.status != 0:
            raise Failed(plain(bytes(self._said).decode(errors="replace")))

    def _next(self) -> bool:
        if self.status is not None:
            return False
        kind, data = next(self.frames, (Kind.FAILED, b""))
        if kind is Kind.OUT:
            self._buffer += data
            self._progress.add(len(data))
        elif kind is Kind.ERR:
            self._said += data[: SAID_BYTES - len(self._said)]
        elif kind is Kind.END:
            self.status = int(data)
        elif kind is Kind.FAILED:
            return False
        return True


class _Packing(threading.Thread):
    """Packs a file or folder into a pipe; its last member says that it is complete."""

    def __init__(self, source: Path, writing: int) -> None:
        super().__init__(daemon=True)
        self._source, self._writing = source, writing
        self.failure = ""
        self._progress = Progress()

    def run(self) -> None:
        """Pack everything."""
        with contextlib.suppress(BrokenPipeError), os.fdopen(self._writing, "wb") as pipe:
            try:
                with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                    archive.add(self._source, CONTENT, filter=self._member)
                    archive.addfile(tarfile.TarInfo(COMPLETE))
            except BrokenPipeError:
                return
            except OSError as error:
                self.failure = f"{error.filename or self._source} cannot be read ({error.strerror})."

    def _member(self, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        self._progress.add(member.size)
        return _anonymous(member)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Keep what a sandbox's user can have: files, folders and links, of nobody in particular."""
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
