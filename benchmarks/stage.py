"""What the gateway's benchmarks stand on: a database with the virtual keys, and servers that know them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import ssl
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from tests.support.cloud import free_port

from benchmarks.certificates import Certificates, make
from benchmarks.machine import LOAD_CORE, SERVER_CORE, Started, started
from benchmarks.provider import REAL_KEY, Provider
from shmastra_cloud.database import migrate, open_pool
from shmastra_cloud.supervisor.postgres import Postgres
from shmastra_cloud.supervisor.privileges import SERVICE, account, wrapped

KEYS = 10_000
KEYS_IN_USE = 1000
NAME = "shmastra"
GATEWAY = [sys.executable, "-m", "shmastra_cloud", "web", "--only", "gateway"]
PATH = "/api/gateway/openai/v1/chat/completions"


@dataclass(frozen=True)
class Server:
    """Something that relays to the provider: where it listens, and what a client must send to it."""

    name: str
    port: int
    process: Started | None
    keys: list[str]
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None
    slow: bool = False

    @property
    def running(self) -> Started:
        assert self.process is not None, f"{self.name} is not of our starting"
        return self.process


@dataclass(frozen=True)
class Stage:
    """A folder for everything, the database's address, 10,000 virtual keys and certificates."""

    folder: Path
    dsn: str
    keys: list[str]
    certificates: Certificates

    @property
    def in_use(self) -> list[str]:
        """The keys that the load uses in turn."""
        return self.keys[:KEYS_IN_USE]


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Start a database, store the keys in it, and take all away again."""
    folder = Path(tempfile.mkdtemp(prefix="shmastra-bench-", dir="/tmp"))
    folder.chmod(0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        dsn = _database(folder, stack)
        keys = [f"vk_{uuid.uuid4()}_{secrets.token_hex(24)}" for _ in range(KEYS)]
        asyncio.run(_store(dsn, keys))
        yield Stage(folder, dsn, keys, make(folder))


def gateway_environ(here: Stage, provider: Provider, port: int, name: str = NAME) -> dict[str, str]:
    """Return all that a gateway is told, which leaves everything on that is on by default."""
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": here.dsn,
        "SHMASTRA_DATA": str(here.folder / name),
        "SHMASTRA_PORT": str(port),
        "OPENAI_API_KEY": REAL_KEY,
        "OPENAI_BASE_URL": f"{provider.origin}/v1",
    }
    if provider.certificates is not None:
        environ["SSL_CERT_FILE"] = str(provider.certificates.authority)
    return environ


@contextlib.contextmanager
def gateway(
    here: Stage, provider: Provider, *, core: int = SERVER_CORE, name: str = NAME
) -> Iterator[Server]:
    """Run ``shmastra web --only gateway``."""
    port = free_port()
    environ = gateway_environ(here, provider, port, name)
    log = here.folder / f"{name}.log"
    with started(GATEWAY, log, core=core, port=port, environ=environ) as process:
        yield Server(name, port, process, here.in_use, path=PATH)


def direct(provider: Provider) -> Server:
    """Return the provider as if it were a server, to measure what the others add."""
    return Server("direct", provider.port, None, [REAL_KEY], tls=provider.trust)


def _database(folder: Path, stack: contextlib.ExitStack) -> str:
    who = account(SERVICE)
    cluster = Postgres(folder / "data", who)
    cluster.data.mkdir()
    if who is not None:
        os.chown(cluster.data, who.uid, who.gid)
    cluster.prepare()
    log = folder / "postgres.log"
    stack.enter_context(started(wrapped(cluster.argv(), who), log, core=LOAD_CORE))
    asyncio.run(_migrated(cluster.dsn))
    return cluster.dsn


async def _migrated(dsn: str) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError, asyncpg.CannotConnectNowError):
            await (await asyncpg.connect(dsn)).close()
            break
        time.sleep(0.05)
    pool = await open_pool(dsn)
    await migrate(pool)
    await pool.close()


async def _store(dsn: str, keys: list[str]) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.executemany(
        "insert into users (id, email, virtual_key, virtual_key_hash) values ($1, $2, '', $3)",
        [
            (uuid.UUID(key.split("_")[1]), f"{at}@example.com", hashlib.sha256(key.encode()).digest())
            for at, key in enumerate(keys)
        ],
    )
    await connection.close()
