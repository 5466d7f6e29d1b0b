"""What the gateway's benchmarks stand on: a database, the real web process, nginx and a provider.

The server that is measured has one core to itself; load, provider and database share the other one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from tests.support.cloud import free_port

from benchmarks.upstream import JSON
from shmastra_cloud.database import migrate, open_pool
from shmastra_cloud.supervisor.postgres import Postgres
from shmastra_cloud.supervisor.privileges import SERVICE, account, wrapped

REAL_KEY = "sk-benchmark-0123456789"
KEYS = 10_000
KEYS_IN_USE = 64
SERVER_CORE, LOAD_CORE = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """Something that relays to the provider: where it listens, and its process."""

    name: str
    port: int
    pid: int
    path: str = "/api/gateway/openai/v1/chat/completions"

    def cpu_seconds(self) -> float:
        """Return the CPU time that it and its children have used."""
        return sum(_ticks(pid) for pid in [self.pid, *_children(self.pid)]) / TICKS

    def rss_mb(self) -> float:
        """Return the resident memory of it and its children."""
        return sum(_rss_kb(pid) for pid in [self.pid, *_children(self.pid)]) / 1024


@dataclass(frozen=True)
class Stage:
    """Everything that runs, and the virtual keys that the load uses in turn."""

    folder: Path
    keys: list[str]
    ours: Server
    nginx: Server
    direct: Server
    closings: Path


@contextlib.contextmanager
def stage(*, paced: bool) -> Iterator[Stage]:
    """Start everything, and take it away again.

    A provider that is not ``paced`` is an nginx that answers JSON: Python is too slow a one for nginx.
    """
    folder = Path(tempfile.mkdtemp(prefix="shmastra-bench-", dir="/tmp"))
    folder.chmod(0o711)
    os.sched_setaffinity(0, {LOAD_CORE})
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        dsn = _database(folder, stack)
        keys = [f"vk_{uuid.uuid4()}_{secrets.token_hex(24)}" for _ in range(KEYS)]
        provider = _paced(folder, stack) if paced else _quick(folder, stack)
        ours = _web(folder, dsn, provider.port, stack)
        _store(dsn, keys)
        nginx = _nginx(folder, keys, provider.port, stack)
        yield Stage(folder, keys[:KEYS_IN_USE], ours, nginx, provider, folder / "provider.log")


@dataclass(frozen=True)
class Behind:
    """What a gateway needs: a database that knows a key, and a provider."""

    folder: Path
    key: str
    environ: dict[str, str]


@contextlib.contextmanager
def behind() -> Iterator[Behind]:
    """Start what a gateway needs, and take it away again."""
    folder = Path(tempfile.mkdtemp(prefix="shmastra-bench-", dir="/tmp"))
    folder.chmod(0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        dsn = _database(folder, stack)
        key = f"vk_{uuid.uuid4()}_{secrets.token_hex(24)}"
        _store(dsn, [key])
        provider = _quick(folder, stack)
        environ = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": dsn,
            "SHMASTRA_DATA": str(folder / "web"),
            "OPENAI_API_KEY": REAL_KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1",
        }
        yield Behind(folder, key, environ)


def _database(folder: Path, stack: contextlib.ExitStack) -> str:
    who = account(SERVICE)
    cluster = Postgres(folder / "data", who)
    cluster.data.mkdir()
    if who is not None:
        os.chown(cluster.data, who.uid, who.gid)
    cluster.prepare()
    _start(stack, wrapped(cluster.argv(), who), folder / "postgres.log", core=LOAD_CORE)
    _run(_migrated(cluster.dsn))
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


def _store(dsn: str, keys: list[str]) -> None:
    async def insert() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.executemany(
            "insert into users (id, email, virtual_key, virtual_key_hash) values ($1, $2, '', $3)",
            [
                (uuid.UUID(key.split("_")[1]), f"{at}@example.com", hashlib.sha256(key.encode()).digest())
                for at, key in enumerate(keys)
            ],
        )
        await connection.close()

    _run(insert())


def _web(folder: Path, dsn: str, provider: int, stack: contextlib.ExitStack) -> Server:
    data = folder / "web"
    (data / "studio").mkdir(parents=True)
    (data / "studio/index.html").write_text("<html><head></head></html>")
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "SHMASTRA_DATA": str(data),
        "SHMASTRA_PORT": str(port),
        "SHMASTRA_ENGINE_URL": "http://127.0.0.1:1",
        "SHMASTRA_ENGINE_KEY": "none",
        "OPENAI_API_KEY": REAL_KEY,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{provider}/v1",
    }
    argv = [sys.executable, "-m", "shmastra_cloud", "web"]
    process = _start(stack, argv, folder / "web.log", core=SERVER_CORE, environ=environ)
    _until_listening(port, process, folder / "web.log")
    return Server("shmastra", port, process.pid)


def _paced(folder: Path, stack: contextlib.ExitStack) -> Server:
    port = free_port()
    argv = [sys.executable, "-m", "benchmarks.upstream", str(port)]
    process = _start(stack, argv, folder / "provider.log", core=LOAD_CORE)
    _until_listening(port, process, folder / "provider.log")
    return Server("direct", port, process.pid, "/v1/chat/completions")


_QUICK = """
daemon off; worker_processes 1; pid {folder}/quick.pid; error_log {folder}/quick-error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/qb; proxy_temp_path {folder}/qp;
  fastcgi_temp_path {folder}/qf; uwsgi_temp_path {folder}/qu; scgi_temp_path {folder}/qs;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{json}'; }}
  }}
}}
"""


def _quick(folder: Path, stack: contextlib.ExitStack) -> Server:
    port = free_port()
    (folder / "quick.conf").write_text(_QUICK.format(folder=folder, port=port, json=JSON.decode()))
    process = _start(stack, _nginx_argv(folder, "quick"), folder / "quick.log", core=LOAD_CORE)
    _until_listening(port, process, folder / "quick.log")
    return Server("direct", port, process.pid, "/v1/chat/completions")


def _nginx_argv(folder: Path, name: str) -> list[str]:
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    return [found, "-c", str(folder / f"{name}.conf"), "-e", str(folder / f"{name}-error.log")]


_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000000;
  map_hash_max_size 32768; map_hash_bucket_size 256;
  map $http_authorization $real {{ default ""; include {folder}/keys.map; }}
  upstream provider {{ server 127.0.0.1:{provider}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      if ($real = "") {{ return 401; }}
      rewrite ^/api/gateway/openai(/.*)$ $1 break;
      proxy_pass http://provider; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Connection ""; proxy_set_header Authorization $real;
    }}
  }}
}}
"""


def _nginx(folder: Path, keys: list[str], provider: int, stack: contextlib.ExitStack) -> Server:
    lines = [f'"Bearer {key}" "Bearer {REAL_KEY}";' for key in keys]
    (folder / "keys.map").write_text("\n".join(lines))
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, provider=provider))
    process = _start(stack, _nginx_argv(folder, "nginx"), folder / "nginx.log", core=SERVER_CORE)
    _until_listening(port, process, folder / "nginx-error.log")
    return Server("nginx", port, process.pid)


def _start(
    stack: contextlib.ExitStack,
    argv: list[str],
    log: Path,
    *,
    core: int,
    environ: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environ,
        )
    os.sched_setaffinity(process.pid, {core})  # before it starts threads
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def _until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{process.args} does not serve: {log.read_text()}")
        time.sleep(0.05)


def _run(work: object) -> None:
    asyncio.run(work)  # type: ignore[arg-type]


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _rss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
