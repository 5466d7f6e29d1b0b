"""nginx and Caddy as the examples in deploy/ configure them, on other ports and with another certificate."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.support.cloud import free_port, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "cloud.example.com"


def put(text: str, changes: dict[str, str]) -> str:
    """Replace parts of an example, each of which must be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder: Path, upstreams: list[str], port: int, files: tuple[Path, Path]) -> list[str]:
    """Write the configuration and return the command."""
    servers = "\n".join(f"server {upstream};" for upstream in upstreams)
    changes = {
        "server 127.0.0.1:3000;": servers,
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        NAME: "localhost",
        "/etc/ssl/shmastra/fullchain.pem": str(files[0]),
        "/etc/ssl/shmastra/privkey.pem": str(files[1]),
    }
    (folder / "shmastra.conf").write_text(put((DEPLOY / "nginx.conf").read_text(), changes))
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    main = f"""{user}
        daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
        events {{ }}
        http {{ access_log off; {temporary} include {folder}/shmastra.conf; }}
    """
    (folder / "main.conf").write_text(main)
    return ["nginx", "-p", str(folder), "-c", str(folder / "main.conf"), "-e", "stderr"]


def caddy(folder: Path, upstreams: list[str], port: int, files: tuple[Path, Path]) -> list[str]:
    """Write the configuration and return the command."""
    site = f"https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {files[0]} {files[1]}\n"
    changes = {f"{{$SHMASTRA_SITE:{NAME}}} {{\n": site, "127.0.0.1:3000": " ".join(upstreams)}
    options = "{\n\tadmin off\n\tauto_https off\n}\n"
    (folder / "Caddyfile").write_text(options + put((DEPLOY / "Caddyfile").read_text(), changes))
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


COMMANDS = {"nginx": nginx, "caddy": caddy}


@contextmanager
def proxy(
    name: str, folder: Path, upstreams: list[str], port: int, files: tuple[Path, Path]
) -> Iterator[None]:
    """Run one of them until the block ends."""
    folder.mkdir()
    argv = COMMANDS[name](folder, upstreams, port, files)
    environ = {"PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait_until(lambda: _answers(port) or process.poll() is not None, 15, name)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)) != 0:
            return False
    try:
        return httpx.get(f"https://localhost:{port}/health", verify=False).status_code == 200
    except httpx.HTTPError:
        return False
