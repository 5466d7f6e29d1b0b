# ruff: noqa: ARG002 -- the signatures are the service's
"""``filesystem.Filesystem``: what envd's clients ask about files, done inside the sandbox."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.filesystem import filesystem_pb as pb
from e2b.envd.filesystem.filesystem_connect import Filesystem
from protobuf import Oneof, wkt

from sandboxd.envd.failures import late
from sandboxd.envd.reach import deadline, home_of, user_of, whatever_it_says
from sandboxd.envd.watchers import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandboxd.envd.reach import Helpers

KINDS = {"file": pb.FileType.FILE, "dir": pb.FileType.DIRECTORY, "link": pb.FileType.SYMLINK}
CHANGES = {
    "create": pb.EventType.CREATE,
    "write": pb.EventType.WRITE,
    "remove": pb.EventType.REMOVE,
    "rename": pb.EventType.RENAME,
    "chmod": pb.EventType.CHMOD,
}
NAMES = {0: "root", 1000: "user"}
MAX_DEPTH = 20
MAX_WATCHERS = 32
LIST_SECONDS = 60
KEEPALIVE_SECONDS = 25.0


class FilesystemService(Filesystem):
    """The service of one sandbox."""

    def __init__(self, helpers: Helpers) -> None:
        self._helpers = helpers
        self._watchers: dict[str, Watcher] = {}

    async def aclose(self) -> None:
        """Stop watching."""
        for watcher in self._watchers.values():
            await watcher.aclose()
        self._watchers.clear()

    async def stat(self, request: Any, ctx: Any) -> Any:
        """Describe a file."""
        return pb.StatResponse(entry=_entry(await self._do(ctx, "stat", path=request.path)))

    async def make_dir(self, request: Any, ctx: Any) -> Any:
        """Make a folder and those above it."""
        return pb.MakeDirResponse(entry=_entry(await self._do(ctx, "make_dir", path=request.path)))

    async def move(self, request: Any, ctx: Any) -> Any:
        """Rename a file or folder."""
        told = await self._do(ctx, "move", path=request.source, to=request.destination)
        return pb.MoveResponse(entry=_entry(told))

    async def list_dir(self, request: Any, ctx: Any) -> Any:
        """List a folder."""
        user, depth = _user(ctx), min(request.depth or 1, MAX_DEPTH)
        helper = await self._helpers.of(user)
        entries: list[Any] = []
        asked = await helper.ask("list", home=home_of(user), path=request.path, depth=depth)
        try:
            async with asked, asyncio.timeout(LIST_SECONDS):
                async for part in asked.parts():
                    entries += [_entry(one) for one in part]
        except TimeoutError as error:
            raise ConnectError(Code.DEADLINE_EXCEEDED, "the folder was not listed in time") from error
        return pb.ListDirResponse(entries=entries)

    async def remove(self, request: Any, ctx: Any) -> Any:
        """Delete a file or folder."""
        await self._do(ctx, "remove", path=request.path)
        return pb.RemoveResponse()

    async def watch_dir(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        """Follow what changes in a folder."""
        until, loop = deadline(ctx), asyncio.get_running_loop()
        watcher = await self._watch(request, ctx)
        try:
            yield _told("start", pb.WatchDirResponse.StartEvent())
            while True:
                left = KEEPALIVE_SECONDS if until is None else min(KEEPALIVE_SECONDS, until - loop.time())
                try:
                    async with asyncio.timeout(max(left, 0)):
                        events = await watcher.next()
                except TimeoutError:
                    if until is not None and loop.time() >= until:
                        raise late() from None
                    yield _told("keepalive", pb.WatchDirResponse.KeepAlive())
                    continue
                for told in events:
                    yield _told("filesystem", _event(told))
        finally:
            await watcher.aclose()

    async def create_watcher(self, request: Any, ctx: Any) -> Any:
        """Watch a folder for a client that asks for the changes now and then."""
        if len(self._watchers) >= MAX_WATCHERS:
            raise ConnectError(
                Code.FAILED_PRECONDITION, f"{MAX_WATCHERS} folders are watched here; stop one of them first"
            )
        watcher_id = secrets.token_hex(8)
        self._watchers[watcher_id] = await self._watch(request, ctx)
        return pb.CreateWatcherResponse(watcher_id=watcher_id)

    async def get_watcher_events(self, request: Any, ctx: Any) -> Any:
        """Return what changed since the last time."""
        watcher = self._watchers.get(request.watcher_id)
        if watcher is None:
            raise ConnectError(Code.NOT_FOUND, "there is no such watcher")
        return pb.GetWatcherEventsResponse(events=[_event(told) for told in watcher.take()])

    async def remove_watcher(self, request: Any, ctx: Any) -> Any:
        """Stop watching."""
        watcher = self._watchers.pop(request.watcher_id, None)
        if watcher is None:
            raise ConnectError(Code.NOT_FOUND, "there is no such watcher")
        await watcher.aclose()
        return pb.RemoveWatcherResponse()

    async def _watch(self, request: Any, ctx: Any) -> Watcher:
        user = _user(ctx)
        helper = await self._helpers.of(user)
        return await Watcher.start(
            helper,
            home=home_of(user),
            path=request.path,
            recursive=request.recursive,
            entries=request.include_entry,
        )

    async def _do(self, ctx: Any, do: str, **more: Any) -> Any:
        return await self._helpers.operate(_user(ctx), do, **more)


def _user(ctx: Any) -> str:
    return user_of(ctx.request_headers.get("authorization"))


def _told(name: Any, value: Any) -> Any:
    return pb.WatchDirResponse(event=Oneof(name, value))


def _event(told: Any) -> Any:
    with whatever_it_says("changes"):
        found = told.get("entry")
        return pb.FilesystemEvent(
            name=told["name"], type=CHANGES[told["kind"]], entry=None if found is None else _entry(found)
        )


def _entry(told: Any) -> Any:
    with whatever_it_says("a file"):
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
            symlink_target=told["target"],
            metadata=told["metadata"],
            is_symlink=told["kind"] == "link",
        )
