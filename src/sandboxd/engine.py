"""All sandboxes of this machine: made, found, paused, resumed, ended; and found again after a restart.

What is known of a sandbox stands in its record, written before it is answered for.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandboxd import records
from sandboxd.errors import EngineError, NoSuchSandbox, NoSuchTemplate, WrongState
from sandboxd.records import Record
from sandboxd.sandbox import RUNC, Sandbox
from sandboxd.spec import Limits
from sandboxd.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

FIRST_UID = 1_000_000
UIDS = 65536
MAX_SANDBOXES = 1000
CLOCK_SECONDS = 1.0


@dataclass
class Live:
    """A sandbox, what is written down of it, and the lock under which it is changed."""

    record: Record
    sandbox: Sandbox
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    envd: Any = None
    ways: dict[int, Any] = field(default_factory=dict)

    async def leave(self) -> None:
        """Follow nothing in it any more."""
        envd, self.envd = self.envd, None
        if envd is not None:
            await envd.aclose()


@dataclass
class Turn:
    """Who creates under one key, one at a time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    takers: int = 0


class Engine:
    """Keeps the sandboxes of one data folder."""

    def __init__(
        self,
        data: Path,
        *,
        gateway: Path | None,
        egress: Sequence[str],
        limits: Limits | None = None,
        domain: str | None = None,
    ) -> None:
        self._data, self._gateway, self._default_egress = data, gateway, list(egress)
        self.limits, self.domain = limits or Limits(), domain
        self._all: dict[str, Live] = {}
        self._indexes: set[int] = set()
        self._creating: dict[str, Turn] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def templates(self) -> Path:
        """The folder of templates."""
        return self._data / "templates"

    def has_template(self, name: str) -> bool:
        """Tell whether there is a template of that name, whole."""
        return (self.templates / name / "template.json").is_file()

    async def open(self) -> None:
        """Take over what an earlier daemon left, as it is written down; what is half-made is cleared away."""
        sandboxes = self._data / "sandboxes"
        sandboxes.mkdir(parents=True, exist_ok=True)
        for folder in sorted(sandboxes.iterdir()):
            record = records.read(folder)
            if record is not None and record.state != "creating":
                self._all[record.id] = self._live(record)
                self._indexes.add(record.index)
        await sweep(RUNC, self._data / "runc", sandboxes, self._all)
        for live in self._all.values():
            await self._take_over(live)

    async def _take_over(self, live: Live) -> None:
        record = live.record
        if not await live.sandbox.adopt():
            await live.sandbox.stop()
            record.state = "paused"
            await self._write(record)
        elif record.state == "running":
            await live.sandbox.thaw()
        else:
            await live.sandbox.freeze()

    async def leave(self) -> None:
        """Follow no program and no folder any more, so that nobody waits for what they do."""
        await asyncio.gather(*(live.leave() for live in self._all.values()))

    async def aclose(self) -> None:
        """Let go of everything; containers go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.leave()
        for live in self._all.values():
            await live.sandbox.detach()

    def all(self) -> list[Record]:
        """Return every sandbox, oldest first."""
        made = (live.record for live in self._all.values() if live.record.state != "creating")
        return sorted(made, key=lambda record: (record.started_at, record.id))

    def hosts_of(self, record: Record) -> list[str]:
        """Return which hosts a sandbox may reach."""
        return self._default_egress if record.egress is None else record.egress

    def get(self, sandbox_id: str) -> Live:
        """Return a sandbox.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        live = self._all.get(sandbox_id)
        if live is None:
            raise NoSuchSandbox(f"Sandbox {sandbox_id} was not found")
        return live

    async def create(  # noqa: PLR0913 -- a sandbox has this many parts
        self,
        template: str,
        *,
        seconds: int,
        on_timeout: str,
        metadata: dict[str, str],
        envs: dict[str, str],
        egress: list[str] | None,
        public: bool,
        once: str | None,
    ) -> Record:
        """Make and start a sandbox; a repeated ``once`` returns the first one made under it.

        Raises:
            NoSuchTemplate: there is no such template.
            EngineError: it could not be started; nothing is left of it.
        """
        if not self.has_template(template):
            raise NoSuchTemplate(f"Template {template} was not found. `shmastra template build` makes it.")
        async with self._alone(once):
            for record in self.all():
                if once is not None and record.once == once:
                    return record
            now = dt.datetime.now(dt.UTC).timestamp()
            record = Record(
                id=f"i{secrets.token_hex(9)}",
                template=template,
                index=self._free_index(),
                started_at=now,
                end_at=now + seconds,
                on_timeout=on_timeout,
                metadata=metadata,
                envs=envs,
                egress=egress,
                public=public,
                once=once,
            )
            return await self._make(record)

    async def connect(self, sandbox_id: str, seconds: int) -> tuple[Record, bool]:
        """Resume a sandbox where it is paused and let it live at least ``seconds`` more; True if it was.

        Raises:
            NoSuchSandbox: there is none of that id.
            EngineError: it could not be started.
        """
        async with self._held(sandbox_id) as live:
            resumed = live.record.state == "paused"
            if resumed:
                if live.sandbox.running:
                    await live.sandbox.thaw()
                else:
                    await live.sandbox.start()
            now = dt.datetime.now(dt.UTC).timestamp()
            live.record.end_at = max(live.record.end_at, now + seconds)
            live.record.state = "running"
            await self._write(live.record)
        return live.record, resumed

    async def pause(self, sandbox_id: str) -> None:
        """Freeze a sandbox.

        Raises:
            NoSuchSandbox: there is none of that id.
            WrongState: it is paused already, or cannot be.
        """
        async with self._held(sandbox_id) as live:
            if live.record.state == "paused":
                raise WrongState(f"Sandbox {sandbox_id} is already paused")
            live.record.state = "paused"
            try:
                await live.sandbox.freeze()
            except BaseException:
                live.record.state = "running"
                await live.sandbox.thaw()
                raise
            await self._write(live.record)

    async def kill(self, sandbox_id: str) -> None:
        """End a sandbox and delete its files.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        async with self._held(sandbox_id) as live:
            await self._destroy(live)

    async def copy_disk(self, sandbox_id: str) -> Path:
        """Copy a sandbox's disk as it is at one moment, and return the copy, which is whoever's who asked.

        There is one copy of each sandbox at a time; it stands in ``copies`` under the data folder.

        Raises:
            NoSuchSandbox: there is none of that id.
            EngineError: there is no room for the copy.
        """
        async with self._held(sandbox_id) as live:
            copies = self._data / "copies"
            await asyncio.to_thread(copies.mkdir, 0o700, exist_ok=True)
            target = copies / f"{sandbox_id}.img"
            await live.sandbox.copy_disk(target)
        return target

    async def stop_all(self) -> None:
        """End every container; disks and records stay, and each starts again when it is asked for."""
        for live in list(self._all.values()):
            async with live.lock:
                await live.leave()
                await live.sandbox.stop()
                live.record.state = "paused"
                await self._write(live.record)

    async def set_timeout(self, sandbox_id: str, seconds: int) -> None:
        """Let a sandbox live ``seconds`` from now.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        async with self._held(sandbox_id) as live:
            live.record.end_at = dt.datetime.now(dt.UTC).timestamp() + seconds
            await self._write(live.record)

    async def set_egress(self, sandbox_id: str, hosts: list[str] | None) -> None:
        """Set which hosts a sandbox may reach; None is the engine's own list.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        async with self._held(sandbox_id) as live:
            live.record.egress = hosts
            await self._write(live.record)

    async def keep_time(self) -> None:
        """Pause or end what has outlived its time, until cancelled."""
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            now = dt.datetime.now(dt.UTC).timestamp()
            due = [record for record in self.all() if record.state == "running" and record.end_at < now]
            await asyncio.gather(*(self._time_is_up(record) for record in due))

    async def _time_is_up(self, record: Record) -> None:
        try:
            if record.on_timeout == "pause":
                await self.pause(record.id)
            else:
                await self.kill(record.id)
        except (EngineError, OSError) as error:
            log.warning("sandbox %s outlived its time: %s", record.id, error)

    @contextlib.asynccontextmanager
    async def _held(self, sandbox_id: str) -> AsyncIterator[Live]:
        """Give a sandbox to one at a time; it may be gone when one's turn comes."""
        live = self.get(sandbox_id)
        async with live.lock:
            if self._all.get(sandbox_id) is not live or live.record.state == "creating":
                raise NoSuchSandbox(f"Sandbox {sandbox_id} was not found")
            yield live

    @contextlib.asynccontextmanager
    async def _alone(self, once: str | None) -> AsyncIterator[None]:
        """Let one at a time create under a key."""
        if once is None:
            yield
            return
        turn = self._creating.setdefault(once, Turn())
        turn.takers += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.takers -= 1
            if turn.takers == 0:
                self._creating.pop(once, None)

    async def _make(self, record: Record) -> Record:
        live = self._live(record)
        self._all[record.id] = live
        self._indexes.add(record.index)
        async with live.lock:
            try:
                # a folder without a record is rubbish to the next daemon
                await asyncio.to_thread(records.make_folder, self._folder(record.id))
                await live.sandbox.start()
                record.state = "running"
                await self._write(record, durable=True)
            except BaseException:
                await self._destroy(live)
                raise
        return record

    async def _destroy(self, live: Live) -> None:
        """End a sandbox; its uids are given to no other before its last process and file are gone."""
        sandbox_id = live.record.id
        self._all.pop(sandbox_id, None)
        # without its record it is not taken over by the next daemon, even if this one dies here
        await asyncio.to_thread(records.remove, self._folder(sandbox_id))
        await live.leave()
        await live.sandbox.destroy()
        self._indexes.discard(live.record.index)

    def _has_ended(self, sandbox_id: str) -> None:
        task = asyncio.create_task(self._put_away(sandbox_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _put_away(self, sandbox_id: str) -> None:
        """Write down that a sandbox ended by itself; it starts again on its files when it is asked for."""
        try:
            async with self._held(sandbox_id) as live:
                log.warning("sandbox %s ended by itself", sandbox_id)
                live.record.state = "paused"
                await live.leave()
                await live.sandbox.stop()
                await self._write(live.record)
        except NoSuchSandbox:
            log.debug("sandbox %s ended while it was deleted", sandbox_id)
        except (EngineError, OSError) as error:
            log.warning("sandbox %s ended by itself and could not be put away: %s", sandbox_id, error)

    def _live(self, record: Record) -> Live:
        sandbox = Sandbox(
            record.id,
            self._folder(record.id),
            self.templates / record.template / "rootfs",
            first_uid=FIRST_UID + record.index * UIDS,
            limits=self.limits,
            runc_root=self._data / "runc",
            gateway=self._gateway,
            egress=lambda: self.hosts_of(record),
            ended=lambda: self._has_ended(record.id),
        )
        return Live(record, sandbox)

    def _folder(self, sandbox_id: str) -> Path:
        return self._data / "sandboxes" / sandbox_id

    def _free_index(self) -> int:
        free = next((number for number in range(MAX_SANDBOXES) if number not in self._indexes), None)
        if free is None:
            raise EngineError(f"This machine holds {MAX_SANDBOXES} sandboxes; delete some first.")
        return free

    async def _write(self, record: Record, *, durable: bool = False) -> None:
        await asyncio.to_thread(records.write, self._folder(record.id), record, durable=durable)
