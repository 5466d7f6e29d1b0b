"""The providers that the gateway knows, and what the environment says of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from httprelay import Target, safe_path
from shmastra_cloud.gateway.errors import BadConfiguration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway.formats import Format

_KEY = re.compile(r"[\x21-\x7e]+")


class KeyPool:
    """A provider's real keys, taken in turn."""

    def __init__(self, keys: tuple[str, ...] = ()) -> None:
        self._keys = tuple(key.encode("ascii") for key in keys)
        self._turn = 0

    def __repr__(self) -> str:
        return f"KeyPool({len(self._keys)} keys)"  # never the keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def all(self) -> tuple[bytes, ...]:
        """Return every key, to find an echoed one."""
        return self._keys

    def next(self) -> bytes:
        """Return the key whose turn it is."""
        self._turn = (self._turn + 1) % len(self._keys)
        return self._keys[self._turn - 1]


@dataclass(frozen=True)
class Provider:
    """Where a provider is, how it is asked and how it says that something went wrong."""

    name: str
    target: Target
    base_path: bytes
    version: bytes
    key_header: bytes
    key_prefix: bytes
    style: Format
    variable: str
    keys: KeyPool = field(default_factory=KeyPool, compare=False)

    @property
    def configured(self) -> bool:
        """Whether there is a real key."""
        return bool(self.keys)

    @property
    def key_lines(self) -> tuple[bytes, bytes]:
        """Return the header that carries the next real key."""
        return self.key_header, self.key_prefix + self.keys.next()


@dataclass(frozen=True)
class _Kind:
    name: str
    url: str
    version: bytes
    key_header: bytes
    key_prefix: bytes
    style: Format
    variable: str
    url_variable: str


_KINDS = (
    _Kind(
        "openai",
        "https://api.openai.com/v1",
        b"/v1",
        b"authorization",
        b"Bearer ",
        "openai",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ),
    _Kind(
        "anthropic",
        "https://api.anthropic.com/v1",
        b"/v1",
        b"x-api-key",
        b"",
        "anthropic",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
    ),
    _Kind(
        "google",
        "https://generativelanguage.googleapis.com/v1beta",
        b"/v1beta",
        b"x-goog-api-key",
        b"",
        "google",
        "GOOGLE_GENERATIVE_AI_API_KEY",
        "GOOGLE_GENERATIVE_AI_BASE_URL",
    ),
    _Kind(
        "composio",
        "https://backend.composio.dev",
        b"",
        b"x-api-key",
        b"",
        "composio",
        "COMPOSIO_API_KEY",
        "COMPOSIO_BASE_URL",
    ),
)


def providers_from_env(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Return every provider by the name that stands in the gateway's paths.

    One without a key is there too, so that the answer can name the variable to set; ``gemini`` is ``google``.

    Raises:
        BadConfiguration: a setting is unusable; the message names it and never a key.

    """
    providers = {kind.name: _provider(kind, environ) for kind in _KINDS}
    providers["gemini"] = providers["google"]
    providers["demo"] = _demo(environ)
    return providers


def _provider(kind: _Kind, environ: Mapping[str, str]) -> Provider:
    target, path = _place(environ.get(kind.url_variable) or kind.url, kind)
    return Provider(
        name=kind.name,
        target=target,
        base_path=path,
        version=kind.version,
        key_header=kind.key_header,
        key_prefix=kind.key_prefix,
        style=kind.style,
        variable=kind.variable,
        keys=_keys(environ.get(kind.variable, ""), kind.variable),
    )


def _demo(environ: Mapping[str, str]) -> Provider:
    socket = environ.get("SHMASTRA_DEMO_SOCKET", "")
    return Provider(
        name="demo",
        target=Target(unix_socket=socket or None),
        base_path=b"/v1",
        version=b"/v1",
        key_header=b"authorization",
        key_prefix=b"Bearer ",
        style="openai",
        variable="SHMASTRA_DEMO_MODEL",
        keys=_keys(environ.get("SHMASTRA_DEMO_API_KEY") or "demo", "SHMASTRA_DEMO_API_KEY")
        if socket
        else KeyPool(),
    )


def _keys(value: str, variable: str) -> KeyPool:
    keys = tuple(key.strip() for key in value.split(",") if key.strip())
    if not all(_KEY.fullmatch(key) for key in keys):
        raise BadConfiguration(f"{variable} holds characters that no key has; separate keys by commas.")
    return KeyPool(keys)


def _place(url: str, kind: _Kind) -> tuple[Target, bytes]:
    """Split a base URL; one without any path gets the provider's version segment."""
    problem = BadConfiguration(f"{kind.url_variable} must be like {kind.url}, without a query or a password.")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise problem from error
    path = (parts.path.rstrip("/")).encode() or kind.version
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not plain
        or not safe_path(path or b"/")
    ):
        raise problem
    tls = parts.scheme == "https"
    return Target(parts.hostname, port or (443 if tls else 80), tls=tls), path
