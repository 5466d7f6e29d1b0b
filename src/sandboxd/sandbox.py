"""One sandbox on this machine: its disk, its container, its sockets.

Under its folder: ``disk.img`` (a sparse ext4 file, the disk limit), ``disk/{upper,work}``, ``lower`` (the
template in the sandbox's uids), ``root`` (the overlay of both), ``config.json`` (OCI), ``pid``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd import disks, freezer, pipes
from sandboxd.commands import inherited, run
from sandboxd.egress import Bounded, proxy, to_socket
from sandboxd.errors import CommandFailed, WrongState
from sandboxd.idmap import bind_idmapped
from sandboxd.namespaces import NetworkNamespace
from sandboxd.seccomp import profile
from sandboxd.spec import MOUNT_TARGETS, USER_UID, Limits, oci_config

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

GATEWAY_PORT, PROXY_PORT = 4000, 3128
RUNC = "/usr/sbin/runc"
SAID_BYTES = 400
END_SECONDS = 10


class Sandbox:
    """The container of one sandbox; what it is called and how long it lives is decided elsewhere."""

    def __init__(  # noqa: PLR0913 -- a container has this many parts
        self,
        sandbox_id: str,
        folder: Path,
        template: Path,
        *,
        first_uid: int,
        limits: Limits,
        runc_root: Path,
        gateway: Path | None,
        egress: Callable[[], Sequence[str]],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self.id, self.folder, self._template = sandbox_id, folder, template
        self._first_uid, self._limits, self._runc_root = first_uid, limits, runc_root
        self._gateway, self._egress, self._ended = gateway, egress, ended
        self._watched: int | None = None
        self._frozen = False
        self._network: NetworkNamespace | None = None
        self._listeners: list[Bounded] = []

    @property
    def running(self) -> bool:
        """Whether its container was started, frozen or not."""
        return self._network is not None

    async def start(self) -> None:
        """Start the container on its disk, which is made where there is none.

        Raises:
            CommandFailed: mount or runc refused; nothing of it is left running.
        """
        if not self._template.is_dir():
            raise CommandFailed(
                f"The template of sandbox {self.id} is gone ({self._template}), so it cannot be started; "
                "its files are kept. `shmastra template build` makes it again."
            )
        try:
            await self._mount()
            await asyncio.to_thread(self._write_config)
            await self._attach(await self._run_container())
        except BaseException:
            await self.stop()
            raise

    async def adopt(self) -> bool:
        """Take a container over that an earlier daemon started; False where it runs no more."""
        told = await run(*self._runc("state", self.id), check=False)
        try:
            state = json.loads(told)
        except ValueError:
            return False
        if state.get("status") not in ("running", "paused"):
            return False
        disks.let_go(self.folder / "disk")
        await self._attach(int(state["pid"]))
        return True

    async def stop(self) -> None:
        """End the container; its disk is kept."""
        watched, self._watched = self._watched, None
        if watched is not None:
            asyncio.get_running_loop().remove_reader(watched)
            await self._end(watched)
        await self.detach()
        await run(*self._runc("delete", "--force", self.id), check=False)
        for name in ("root", "lower", "disk"):
            await run("umount", "--lazy", str(self.folder / name), check=False)

    async def _end(self, first: int) -> None:
        """Kill the first process, and all with it; the runtime would do so too, and look every 100 ms."""
        try:
            signal.pidfd_send_signal(first, signal.SIGKILL)
            await freezer.thaw(self.id)
            async with asyncio.timeout(END_SECONDS):
                await pipes.readable(first)
        except (OSError, WrongState, TimeoutError) as error:
            log.debug("the first process of %s was not seen to end (%s)", self.id, type(error).__name__)
        finally:
            os.close(first)

    async def destroy(self) -> None:
        """End the container and delete its disk."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.folder, True)

    async def freeze(self) -> None:
        """Stop its processes where they are, and close what is open between them and the world.

        Raises:
            WrongState: it does not run.
        """
        self._frozen = True
        await freezer.freeze(self.id)
        for listener in self._listeners:
            await listener.drop()

    async def thaw(self) -> None:
        """Let its processes go on.

        Raises:
            WrongState: it does not run.
        """
        await freezer.thaw(self.id)
        self._frozen = False

    async def copy_disk(self, target: Path) -> None:
        """Copy its disk as it is at one moment, until whose end whoever writes to it waits.

        Raises:
            CommandFailed: there is no room for the copy.
        """
        await asyncio.to_thread(disks.copy, self.folder / "disk.img", self.folder / "disk", target)

    async def connect(self, port: int) -> socket.socket:
        """Return a socket connected to a port inside.

        Raises:
            WrongState: it does not run.
            OSError: nothing listens there.
        """
        if self._network is None or self._frozen:
            raise WrongState(f"Sandbox {self.id} does not run.")
        return await self._network.connect(port)

    async def start_inside(self, argv: Sequence[str], *, user: str, link: socket.socket) -> bool:
        """Start a program inside, with no more rights than it has there and a socket as its standard input.

        False where the runtime did not start it.
        """
        uid = 0 if user == "root" else USER_UID
        # a sandbox may stand still for a moment while a group is signalled
        how = ("--detach", "--ignore-paused", "--user", f"{uid}:{uid}", "--cwd", "/")
        process = await asyncio.create_subprocess_exec(
            *self._runc("exec", *how, self.id, *argv),
            stdin=link.fileno(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=inherited,
        )
        try:
            return await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()

    async def _run_container(self) -> int:
        """Start the container and return the pid of its first process, as this machine numbers it."""
        pid_file = self.folder / "pid"
        pid_file.unlink(missing_ok=True)
        where = ("--pid-file", str(pid_file), "--bundle", str(self.folder))
        with (self.folder / "init.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._runc("run", "--detach", *where, self.id),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=inherited,
            )
            if await process.wait() != 0:
                raise CommandFailed(f"runc could not start sandbox {self.id}: {_last(Path(log.name))}")
        return int(pid_file.read_text())

    def _runc(self, *arguments: str) -> list[str]:
        return [RUNC, "--root", str(self._runc_root), *arguments]

    async def _attach(self, pid: int) -> None:
        self._watched = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._watched, self._has_ended)
        self._network = NetworkNamespace(pid)
        ways = [(PROXY_PORT, proxy(self._egress, self.id))]
        if self._gateway is not None:
            ways.append((GATEWAY_PORT, to_socket(self._gateway)))
        for port, handle in ways:
            listener = Bounded(await self._network.listen(port), handle)
            await listener.start()
            self._listeners.append(listener)

    def _has_ended(self) -> None:
        """Say so, once, where its first process ended by itself."""
        self._unwatch()
        self._ended()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None

    async def detach(self) -> None:
        """Let go of it; it goes on."""
        self._unwatch()
        for listener in self._listeners:
            await listener.aclose()
        self._listeners.clear()
        if self._network is not None:
            self._network.close()
            self._network = None

    async def _mount(self) -> None:
        for name in ("lower", "disk", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        image = self.folder / "disk.img"
        if not image.exists():
            await self._format(image)
        await run("mount", "-o", "loop,nosuid,nodev", str(image), str(self.folder / "disk"))
        for name in ("upper", "work"):
            (self.folder / "disk" / name).mkdir(exist_ok=True)
        os.chown(self.folder / "disk" / "upper", self._first_uid, self._first_uid)
        await asyncio.to_thread(bind_idmapped, self._template, self.folder / "lower", self._first_uid)
        disk = self.folder / "disk"
        layers = f"lowerdir={self.folder}/lower,upperdir={disk}/upper,workdir={disk}/work"
        await run(
            "mount", "-t", "overlay", "overlay", "-o", f"{layers},nosuid,nodev", str(self.folder / "root")
        )
        for name in MOUNT_TARGETS:
            target = self.folder / "root" / name
            if target.is_symlink() or not target.is_dir():
                raise CommandFailed(
                    f"/{name} of sandbox {self.id} is not a folder any more, so it cannot be started: "
                    "it was replaced from inside. Delete the sandbox and make it anew."
                )

    async def _format(self, image: Path) -> None:
        """Make the disk under another name first, so that a half-made one is never used."""
        scratch = image.with_suffix(".new")
        seed = self.folder.parent.parent / f"empty-{self._limits.disk_mb}.img"
        if not seed.exists():
            await self._make_seed(seed)
        await run("cp", "--sparse=always", str(seed), str(scratch))
        scratch.rename(image)

    async def _make_seed(self, seed: Path) -> None:
        """Make the empty disk that the first one of each sandbox is a copy of."""
        scratch = seed.with_suffix(f".{self.id}")
        await disks.make_empty(scratch, self._limits.disk_mb << 20)
        scratch.rename(seed)

    def _write_config(self) -> None:
        config = oci_config(self.id, str(self.folder / "root"), self._first_uid, self._limits, profile())
        (self.folder / "config.json").write_text(json.dumps(config))


def _last(log: Path) -> str:
    """Return what a log ends with."""
    return log.read_text(errors="replace").strip()[-SAID_BYTES:]
