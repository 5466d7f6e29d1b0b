"""All sandboxes of this machine: made, found, paused, resumed, ended; and found again after a restart.

What is known of a sandbox stands in its ``sandbox.json``, written whole before it is answered for.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import os
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sandboxd.errors import EngineError, NoSuchSandbox, NoSuchTemplate, WrongState
from sandboxd.sandbox import Sandbox
from sandboxd.spec import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

FIRST_UID = 1_000_000
UIDS = 65536
MAX_SANDBOXES = 1000
CLOCK_SECONDS = 1.0


@dataclass
class Record:
    """What is written down of a sandbox.

    ``state`` is ``running`` or ``paused``; times are seconds since 1970.
    """

    id: str
    template: str
    index: int
    started_at: float
    end_at: float
    on_timeout: str
    metadata: dict[str, str]
    envs: dict[str, str]
    egress: list[str] | None
    public: bool
    envd_token: str = field(default_factory=lambda: secrets.token_hex(20))
    traffic_token: str = field(default_factory=lambda: secrets.token_hex(20))
    state: str = "running"
    once: str | None = None


@dataclass
class Live:
    """A sandbox, what is written down of it, and the lock under which it is changed."""

    record: Record
    sandbox: Sandbox
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    envd: Any = None
    ways: dict[int, Any] = field(default_factory=dict)


class Engine:
    """Keeps the sandboxes of one data folder."""

    def __init__(
        self, data: Path, *, gateway: Path | None, egress: Sequence[str], limits: Limits | None = None
    ) -> None:
        self._data, self._gateway, self._default_egress = data, gateway, list(egress)
        self._limits = limits or Limits()
        self._all: dict[str, Live] = {}
        self._creating: dict[str, asyncio.Lock] = {}

    @property
    def templates(self) -> Path:
        """The folder of templates."""
        return self._data / "templates"

    def has_template(self, name: str) -> bool:
        """Tell whether there is a template of that name, whole."""
        return (self.templates / name / "template.json").is_file()

    async def open(self) -> None:
        """Take over what an earlier daemon left: running containers as they are, others as paused."""
        (self._data / "sandboxes").mkdir(parents=True, exist_ok=True)
        for file in sorted((self._data / "sandboxes").glob("*/sandbox.json")):
            live = self._live(Record(**json.loads(file.read_text())))
            self._all[live.record.id] = live
            if not await live.sandbox.adopt():
                await live.sandbox.stop()
                live.record.state = "paused"
                self._write(live.record)

    async def aclose(self) -> None:
        """Let go of everything; containers go on."""
        for live in self._all.values():
            await live.sandbox._detach()  # noqa: SLF001 -- the engine and its sandboxes are one

    def all(self) -> list[Record]:
        """Return every sandbox, oldest first."""
        return sorted((live.record for live in self._all.values()), key=lambda record: record.started_at)

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
        async with self._creating.setdefault(once or secrets.token_hex(8), asyncio.Lock()):
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
        """
        live = self.get(sandbox_id)
        async with live.lock:
            resumed = live.record.state == "paused"
            if resumed:
                if live.sandbox.running:
                    await live.sandbox.thaw()
                else:
                    await live.sandbox.start()
                live.record.state = "running"
            now = dt.datetime.now(dt.UTC).timestamp()
            live.record.end_at = max(live.record.end_at, now + seconds)
            self._write(live.record)
        return live.record, resumed

    async def pause(self, sandbox_id: str) -> None:
        """Freeze a sandbox.

        Raises:
            NoSuchSandbox: there is none of that id.
            WrongState: it is paused already.
        """
        live = self.get(sandbox_id)
        async with live.lock:
            if live.record.state == "paused":
                raise WrongState(f"Sandbox {sandbox_id} is already paused")
            live.record.state = "paused"
            await live.sandbox.freeze()
            self._write(live.record)

    async def kill(self, sandbox_id: str) -> None:
        """End a sandbox and delete its files.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        live = self.get(sandbox_id)
        async with live.lock:
            self._all.pop(sandbox_id, None)
            # without its record it is not taken over by the next daemon, even if this one dies here
            (self._folder(sandbox_id) / "sandbox.json").unlink(missing_ok=True)
            await live.sandbox.destroy()

    def set_timeout(self, sandbox_id: str, seconds: int) -> None:
        """Let a sandbox live ``seconds`` from now.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        record = self.get(sandbox_id).record
        record.end_at = dt.datetime.now(dt.UTC).timestamp() + seconds
        self._write(record)

    def set_egress(self, sandbox_id: str, hosts: list[str] | None) -> None:
        """Set which hosts a sandbox may reach; None is the engine's own list.

        Raises:
            NoSuchSandbox: there is none of that id.
        """
        record = self.get(sandbox_id).record
        record.egress = hosts
        self._write(record)

    async def keep_time(self) -> None:
        """Pause or end what has outlived its time, until cancelled."""
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            now = dt.datetime.now(dt.UTC).timestamp()
            for record in self.all():
                if record.state == "running" and record.end_at < now:
                    await self._time_is_up(record)

    async def _time_is_up(self, record: Record) -> None:
        try:
            if record.on_timeout == "pause":
                await self.pause(record.id)
            else:
                await self.kill(record.id)
        except EngineError as error:
            log.warning("sandbox %s outlived its time: %s", record.id, error)

    async def _make(self, record: Record) -> Record:
        live = self._live(record)
        self._all[record.id] = live
        try:
            self._write(record)
            await live.sandbox.start()
        except BaseException:
            await self.kill(record.id)
            raise
        return record

    def _live(self, record: Record) -> Live:
        sandbox = Sandbox(
            record.id,
            self._folder(record.id),
            self.templates / record.template / "rootfs",
            first_uid=FIRST_UID + record.index * UIDS,
            limits=self._limits,
            runc_root=self._data / "runc",
            gateway=self._gateway,
            egress=lambda: self._default_egress if record.egress is None else record.egress,
        )
        return Live(record, sandbox)

    def _folder(self, sandbox_id: str) -> Path:
        return self._data / "sandboxes" / sandbox_id

    def _free_index(self) -> int:
        used = {live.record.index for live in self._all.values()}
        free = next((number for number in range(MAX_SANDBOXES) if number not in used), None)
        if free is None:
            raise EngineError(f"This machine holds {MAX_SANDBOXES} sandboxes; delete some first.")
        return free

    def _write(self, record: Record) -> None:
        folder = self._folder(record.id)
        folder.mkdir(parents=True, exist_ok=True)
        # a container's own uids pass through here on the way to their root, and read nothing
        for passed in (self._data, folder.parent, folder):
            passed.chmod(0o711)
        scratch = folder / "sandbox.json.new"
        scratch.touch(mode=0o600)
        with scratch.open("w") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(folder / "sandbox.json")
