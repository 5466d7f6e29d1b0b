"""The tokens of this user, in a file of his own, by the cloud's address."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from shmastra_cloud.cli.common import Failed
from shmastra_cloud.origins import origin_of

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Credential:
    """A token, and what is known of it."""

    token: str = field(repr=False)
    id: str
    name: str
    email: str
    expires_at: str


def address(url: str) -> str:
    """Return a cloud's address as tokens are kept by.

    Raises:
        Failed: it is none, or a token would cross a network in the clear.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        port_is_good = False
    if not port_is_good or parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise Failed("A cloud's address looks like https://cloud.example.com.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Failed(f"A cloud's address has no path: {parts.scheme}://{parts.netloc}, not {url}.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Failed(f"{url} is not https, so whoever is on the way could read the token. Use https://.")
    return origin_of(parts.geturl())


def place() -> Path:
    """Return where tokens are kept: ``XDG_CONFIG_HOME/shmastra/tokens.json``, or under ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "shmastra" / "tokens.json"


def stored() -> dict[str, Credential]:
    """Return all of them.

    Raises:
        Failed: the file is damaged, or others may read it.
    """
    path = place()
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except FileNotFoundError:
        return {}
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Failed(f"Others may read your tokens. Run `chmod 600 {path}`, and log in anew if they have.")
    try:
        return {url: Credential(**one) for url, one in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise Failed(f"{path} is damaged. Remove it, and log in anew.") from error


def keep(url: str, credential: Credential) -> None:
    """Store a token in place of what was stored for that cloud."""
    _write({**stored(), url: credential})


def forget(url: str) -> None:
    """Drop what is stored for a cloud, if there is anything."""
    _write({known: one for known, one in stored().items() if known != url})


def _write(all_of_them: dict[str, Credential]) -> None:
    """Replace the file as a whole; nobody else can read it at any moment."""
    path = place()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".tokens.")  # 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({url: asdict(one) for url, one in all_of_them.items()}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
