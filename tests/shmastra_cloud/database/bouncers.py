"""Debian's pgbouncer before a Postgres, in whichever mode, with TLS or without."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.httprelay.certificates import Authority
from tests.support.cloud import free_port, wait_until

PGBOUNCER = "/usr/sbin/pgbouncer"
SETTINGS = """
[databases]
* = host={socket} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
logfile = {folder}/log
{more}
"""
TLS = """
client_tls_sslmode = require
client_tls_key_file = {folder}/key
client_tls_cert_file = {folder}/certificate
"""


@contextmanager
def bouncer(dsn: str, mode: str, *, on_socket: bool = False, tls: Path | None = None) -> Iterator[str]:
    """Give the address of the database through a pooler; ``tls`` takes its authority's certificate."""
    parts, port = urlsplit(dsn), free_port()
    folder = Path(tempfile.mkdtemp(prefix="shmastra-pgbouncer-", dir="/tmp"))
    (where,) = parse_qs(parts.query)["host"]
    more = "" if tls is None else TLS.format(folder=folder)
    settings = folder / "settings.ini"
    settings.write_text(SETTINGS.format(socket=where, port=port, mode=mode, folder=folder, more=more))
    if tls is not None:
        for made, name in zip(Authority(tls).files("localhost"), ("certificate", "key"), strict=True):
            shutil.copy(made, folder / name)
    who = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        folder.chmod(0o755)
    process = subprocess.Popen([PGBOUNCER, settings], stderr=subprocess.PIPE, **who)  # type: ignore[call-overload]
    try:
        wait_until(lambda: _answers(port), 10, "pgbouncer")
        if on_socket:
            yield f"postgresql://postgres@{parts.path}?host={folder}&port={port}"
        else:
            yield f"postgresql://postgres@localhost:{port}{parts.path}"
    finally:
        process.terminate()
        process.communicate(timeout=10)
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
