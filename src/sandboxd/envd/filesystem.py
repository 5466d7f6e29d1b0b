# ruff: noqa: ARG002 -- the signatures are the service's
"""``filesystem.Filesystem``: what envd's clients ask about files, done inside the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.filesystem import filesystem_pb as pb
from e2b.envd.filesystem.filesystem_connect import Filesystem
from protobuf import wkt

from sandboxd.envd.reach import operate, user_of

if TYPE_CHECKING:
    from sandboxd.envd.app import Hands

KINDS = {"file": pb.FileType.FILE, "dir": pb.FileType.DIRECTORY, "link": pb.FileType.SYMLINK}
NAMES = {0: "root", 1000: "user"}
MAX_DEPTH = 20
NO_WATCH = "watching folders is not served by this engine"


class FilesystemService(Filesystem):
    """The service of one sandbox."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def stat(self, request: Any, ctx: Any) -> Any:
        """Describe a file."""
        return pb.StatResponse(entry=_entry(await self._do(ctx, do="stat", path=request.path)))

    async def make_dir(self, request: Any, ctx: Any) -> Any:
        """Make a folder and those above it."""
        return pb.MakeDirResponse(entry=_entry(await self._do(ctx, do="make_dir", path=request.path)))

    async def move(self, request: Any, ctx: Any) -> Any:
        """Rename a file or folder."""
        told = await self._do(ctx, do="move", path=request.source, to=request.destination)
        return pb.MoveResponse(entry=_entry(told))

    async def list_dir(self, request: Any, ctx: Any) -> Any:
        """List a folder."""
        depth = min(request.depth or 1, MAX_DEPTH)
        told = await self._do(ctx, do="list", path=request.path, depth=depth)
        return pb.ListDirResponse(entries=[_entry(one) for one in told])

    async def remove(self, request: Any, ctx: Any) -> Any:
        """Delete a file or folder."""
        await self._do(ctx, do="remove", path=request.path)
        return pb.RemoveResponse()

    async def create_watcher(self, request: Any, ctx: Any) -> Any:
        """Refuse."""
        raise ConnectError(Code.UNIMPLEMENTED, NO_WATCH)

    async def get_watcher_events(self, request: Any, ctx: Any) -> Any:
        """Refuse."""
        raise ConnectError(Code.UNIMPLEMENTED, NO_WATCH)

    async def remove_watcher(self, request: Any, ctx: Any) -> Any:
        """Refuse."""
        raise ConnectError(Code.UNIMPLEMENTED, NO_WATCH)

    async def _do(self, ctx: Any, **operation: Any) -> Any:
        return await operate(self._hands, user_of(ctx.request_headers.get("authorization")), **operation)


def _entry(told: dict[str, Any]) -> Any:
    seconds, nanos = divmod(told["modified"], 10**9)
    return pb.EntryInfo(
        name=told["name"],
        type=KINDS[told["kind"]],
        path=told["path"],
        size=told["size"],
        mode=told["mode"],
        permissions=told["permissions"],
        owner=NAMES.get(told["uid"], str(told["uid"])),
        group=NAMES.get(told["gid"], str(told["gid"])),
        modified_time=wkt.Timestamp(seconds=seconds, nanos=nanos),
    )
