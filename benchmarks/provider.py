"""The providers that the servers under measurement relay to, plain or with TLS."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.cloud import free_port

from benchmarks.certificates import Certificates
from benchmarks.machine import LOAD_CORE, started
from benchmarks.upstream import JSON

REAL_KEY = "sk-benchmark-0123456789"
_QUICK = """
daemon off; worker_processes 1; pid {folder}/quick.pid; error_log {folder}/quick-error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_body_temp_path {folder}/qb; proxy_temp_path {folder}/qp;
  fastcgi_temp_path {folder}/qf; uwsgi_temp_path {folder}/qu; scgi_temp_path {folder}/qs;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} {tls} backlog=4096;
    {certificate}
    location / {{
      if ($http_authorization != "Bearer {key}") {{ return 401; }}
      default_type application/json; return 200 '{json}';
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Provider:
    """Where a provider listens."""

    port: int
    certificates: Certificates | None
    log: Path

    @property
    def tls(self) -> bool:
        return self.certificates is not None

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext | None:
        """What a client needs to reach it."""
        if self.certificates is None:
            return None
        return ssl.create_default_context(cafile=str(self.certificates.authority))


@contextlib.contextmanager
def quick(stage: Path, certificates: Certificates | None, *, core: int = LOAD_CORE) -> Iterator[Provider]:
    """Serve JSON by an nginx, for Python is too slow a provider for nginx; only the real key is let in."""
    folder = stage / f"quick-{core}"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    port = free_port()
    own = "" if certificates is None else _lines(certificates)
    text = _QUICK.format(
        folder=folder,
        port=port,
        key=REAL_KEY,
        json=JSON.decode(),
        tls="ssl" if certificates else "",
        certificate=own,
    )
    (folder / "quick.conf").write_text(text)
    with started(nginx_argv(folder, "quick"), folder / "quick.log", core=core, port=port):
        yield Provider(port, certificates, folder / "quick.log")


@contextlib.contextmanager
def paced(folder: Path, certificates: Certificates | None) -> Iterator[Provider]:
    """Serve events at the pace that is asked for, and errors."""
    port = free_port()
    argv = [sys.executable, "-m", "benchmarks.upstream", str(port)]
    if certificates is not None:
        argv += [str(certificates.certificate), str(certificates.key)]
    with started(argv, folder / "paced.log", core=LOAD_CORE, port=port):
        yield Provider(port, certificates, folder / "paced.log")


def nginx_argv(folder: Path, name: str) -> list[str]:
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    return [found, "-c", str(folder / f"{name}.conf"), "-e", str(folder / f"{name}-error.log")]


def _lines(certificates: Certificates) -> str:
    return (
        f"ssl_certificate {certificates.certificate}; ssl_certificate_key {certificates.key};"
        " ssl_protocols TLSv1.3;"
    )
