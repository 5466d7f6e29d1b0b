"""The sockets that a web process listens on: its own, its supervisor's, or systemd's."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shmastra_cloud.settings import Settings

FIRST_FD = 3  # sd_listen_fds(3)
BACKLOG = 1024
UNIX_SOCKETS = ("sandbox", "admin")


class SocketsTaken(OSError):
    """Another web process of this machine listens on what this one was to."""


def inherited_sockets(environ: Mapping[str, str]) -> dict[str, socket.socket]:
    """Return the listening sockets that were passed on, as ``SHMASTRA_LISTEN_FDS`` says: ``tcp=3,admin=4``.

    systemd passes them on as sd_listen_fds(3) says, with the same names (``FileDescriptorName=``).

    Raises:
        ValueError: the text has another form.
    """
    numbers = _by_systemd(environ) if environ.get("LISTEN_PID") == str(os.getpid()) else {}
    for part in environ.get("SHMASTRA_LISTEN_FDS", "").split(","):
        name, separator, number = part.partition("=")
        if part and not (separator and number.isdigit()):
            raise ValueError(f"SHMASTRA_LISTEN_FDS holds {part!r}; it looks like tcp=3,sandbox=4.")
        if part:
            numbers[name] = int(number)
    return {name: socket.socket(fileno=number) for name, number in numbers.items()}


def _by_systemd(environ: Mapping[str, str]) -> dict[str, int]:
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "tcp").split(":")
    unknown = set(names) - {"tcp", *UNIX_SOCKETS}
    if len(names) != count or len(set(names)) != count or unknown:
        raise ValueError(
            f"systemd passes on {count} sockets named {':'.join(names)}: give each FileDescriptorName=tcp, "
            "sandbox or admin, once."
        )
    return {name: FIRST_FD + at for at, name in enumerate(names)}


@contextmanager
def sockets_of(
    settings: Settings, environ: Mapping[str, str], names: tuple[str, ...] = UNIX_SOCKETS
) -> Iterator[dict[str, socket.socket]]:
    """Give the sockets that were passed on, and those of the port and ``names`` that were not, bound here.

    Raises:
        SocketsTaken: another process of this machine holds the data folder's.
        OSError: the port is taken, or the folder cannot be written.
        ValueError: what was passed on cannot be understood.
    """
    found = inherited_sockets(environ)
    missing = tuple(name for name in names if name not in found)
    with held(settings) if missing else nullcontext():
        if "tcp" not in found:
            found |= own_sockets(settings, missing)
        elif missing:
            found |= {name: unix_socket(settings, name) for name in missing}
        try:
            yield found
        finally:
            for bound in found.values():
                bound.close()


def own_sockets(settings: Settings, names: tuple[str, ...] = UNIX_SOCKETS) -> dict[str, socket.socket]:
    """Bind the port, and the named unix sockets, of a process that nobody passed any to.

    Raises:
        OSError: the port is taken, or the folder cannot be written.
    """
    found = {"tcp": _tcp(settings)}
    if names:
        settings.run.mkdir(parents=True, exist_ok=True)
    return found | {name: unix_socket(settings, name) for name in names}


def _tcp(settings: Settings) -> socket.socket:
    tcp = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind((settings.host, settings.port))
    except OSError as error:
        tcp.close()
        raise OSError(
            f"Port {settings.port} of {settings.host} cannot be used ({error.strerror}). "
            "Set SHMASTRA_PORT to another one."
        ) from error
    return tcp


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Hold ``run/web.lock``: two that bind the sockets of one data folder would take them from each other.

    Raises:
        SocketsTaken: another process of this machine holds it.
    """
    settings.run.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.run / "web.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SocketsTaken(
            f"A web process serves {settings.data} already. For several on one machine set "
            "SHMASTRA_WEB_WORKERS; for another cloud choose another --data."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def unix_socket(settings: Settings, name: str) -> socket.socket:
    """Bind ``run/NAME.sock`` for this user alone, in place of one that was left there.

    Raises:
        OSError: the folder cannot be written.
    """
    path = settings.run / f"{name}.sock"
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    finally:
        os.umask(before)
    return bound


def without_delay(listeners: Iterable[socket.socket]) -> None:
    """Have the kernel hold nothing back: an answer's head and body are written one after the other.

    Connections inherit it; asyncio sets it only on those whose listener was made with its protocol named.
    """
    for listener in listeners:
        if listener.family != socket.AF_UNIX:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def listen(listeners: Iterable[socket.socket]) -> None:
    """Begin to take connections, which wait until a process accepts them."""
    for listener in listeners:
        listener.listen(BACKLOG)
