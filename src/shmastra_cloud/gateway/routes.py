"""Which routes of a provider are safe to share behind one real key, and what each of them is.

Everything that reads or writes data of the whole account (files, batches, fine-tuning, assistants,
containers, administration) is left out: it would be shared by all users. What is named by an id is held
against who created it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from shmastra_cloud.gateway.errors import RouteRefused
from shmastra_cloud.gateway.resources import creates, is_only_kept, named_in

if TYPE_CHECKING:
    from collections.abc import Iterable

# How a request is called that is to become a WebSocket: as no method can be.
SOCKET = "GET (WebSocket)"
_MODEL = rb"(?P<model>[A-Za-z0-9][A-Za-z0-9._:@~-]*)"
_SLUG = rb"[A-Za-z0-9_-]+"
_ALLOWED_PATH = re.compile(r"(?:/(?:\*|[A-Za-z0-9._:@~-]+))+")


@dataclass(frozen=True)
class Route:
    """A safe route: ``spends`` says that it uses tokens.

    ``prose`` says that the answer is text, so that tokens can be estimated from bytes where none are told,
    ``audio`` that speech is made or read, ``draws`` that pictures are made; ``asks_usage`` that a stream is
    asked to tell its usage; ``harmless`` that asking twice costs and changes no more than asking once;
    ``bare`` that a POST may have no body, ``forms`` that it may be a form with a file in it.
    """

    method: str
    pattern: re.Pattern[bytes]
    spends: bool = True
    prose: bool = True
    audio: bool = False
    draws: bool = False
    responses: bool = False
    asks_usage: bool = False
    harmless: bool = False
    bare: bool = False
    forms: bool = False


@dataclass(frozen=True, eq=False)
class RouteTable:
    """What may be asked of one provider; a table is equal to itself only, and so quick to look up by."""

    provider: str
    routes: tuple[Route, ...]


_NO_PROSE = re.compile(rb"mbed|images|audio")
_FORMS = re.compile(rb"transcriptions|edits|files|uploads|videos")
_FREE = re.compile(rb"ount|input_tokens|moderations")
_STREAMS_TEXT = (b"/chat/completions", b"/completions")


def _routes(*lines: tuple[str, bytes]) -> tuple[Route, ...]:
    return tuple(
        Route(
            method,
            re.compile(pattern),
            spends=method == "POST" and not _FREE.search(pattern) and not is_only_kept(pattern),
            prose=not _NO_PROSE.search(pattern),
            audio=b"audio" in pattern,
            draws=b"images" in pattern,
            responses=pattern.startswith(b"/responses"),
            asks_usage=pattern in _STREAMS_TEXT,
            harmless=method == "GET" or bool(_FREE.search(pattern)),
            bare=is_only_kept(pattern),
            forms=_FORMS.search(pattern) is not None,
        )
        for method, pattern in lines
    )


def _acting(*lines: tuple[str, bytes]) -> tuple[Route, ...]:
    return tuple(
        Route(
            method,
            re.compile(rb"/api/v3(?:\.\d)?" + path),
            spends=False,
            harmless=method == "GET",
            bare=True,
        )
        for method, path in lines
    )


_SESSION = b"/tool_router/session/" + _SLUG
_OPENAI_MODELS = (("GET", b"/models"), ("GET", b"/models/" + _MODEL))
# Beside OpenAI itself, a model's name may have parts (`openai/gpt-oss-120b`).
_COMPATIBLE = (
    ("POST", b"/chat/completions"),
    ("POST", b"/completions"),
    ("POST", b"/embeddings"),
    ("GET", b"/models"),
    ("GET", b"/models/" + _MODEL + rb"(?:/[A-Za-z0-9._:@~-]+)*"),
)
_RESPONSES = ("POST", b"/responses")
_OWN_RESPONSES = (
    ("GET", b"/responses/" + _SLUG + b"(?:/input_items)?"),
    ("DELETE", b"/responses/" + _SLUG),
    ("POST", b"/responses/" + _SLUG + b"/cancel"),
)
_CONVERSATIONS = (
    ("POST", b"/conversations(?:/" + _SLUG + b"(?:/items)?)?"),
    ("GET", b"/conversations/" + _SLUG + b"(?:/items(?:/" + _SLUG + b")?)?"),
    ("DELETE", b"/conversations/" + _SLUG + b"(?:/items/" + _SLUG + b")?"),
)
_AUDIO = ("POST", b"/audio/(?:speech|transcriptions|translations)")
_IMAGES = ("POST", b"/images/(?:generations|edits|variations)")
_ROUTES = {
    "openai": _routes(
        ("POST", b"/chat/completions"),
        ("POST", b"/completions"),
        _RESPONSES,
        ("POST", b"/responses/input_tokens"),
        *_OWN_RESPONSES,
        *_CONVERSATIONS,
        ("POST", b"/embeddings"),
        ("POST", b"/moderations"),
        _IMAGES,
        _AUDIO,
        # Not /realtime/client_secrets: such a secret would be used around the gateway.
        (SOCKET, b"/realtime"),
        *_OPENAI_MODELS,
    ),
    "anthropic": _routes(("POST", b"/messages"), ("POST", b"/messages/count_tokens"), *_OPENAI_MODELS),
    "google": _routes(
        ("POST", b"/models/" + _MODEL + b":(?:generateContent|streamGenerateContent)"),
        ("POST", b"/models/" + _MODEL + b":(?:embedContent|batchEmbedContents)"),
        ("POST", b"/models/" + _MODEL + b":countTokens"),
        *_OPENAI_MODELS,
    ),
    "demo": _routes(("POST", b"/chat/completions"), ("POST", b"/completions"), *_OPENAI_MODELS),
    # Only the catalogue is the same for everyone; all else acts as the key's user (see `composio`). Triggers,
    # files and MCP servers are left out: what they send or hold is reached without any user being named.
    "composio": _acting(
        ("GET", b"/(?:tools|toolkits|triggers_types)(?:/" + _SLUG + b")?"),
        ("POST", b"/tools/execute/" + _SLUG + b"(?:/input)?"),
        ("GET", b"/auth_configs(?:/" + _SLUG + b")?"),
        ("POST", b"/auth_configs"),
        ("POST", b"/toolkits/multi"),
        ("GET", b"/connected_accounts"),
        ("POST", b"/connected_accounts(?:/link|/complete_auth)?"),
        ("GET", b"/connected_accounts/" + _SLUG),
        ("DELETE", b"/connected_accounts/" + _SLUG),
        ("PATCH", b"/connected_accounts/" + _SLUG + b"(?:/status)?"),
        ("POST", b"/connected_accounts/" + _SLUG + b"/(?:refresh|revoke)"),
        ("POST", b"/tool_router/session"),
        ("GET", _SESSION + b"(?:/(?:toolkits|tools|config_history|mounts/" + _SLUG + b"/items))?"),
        ("POST", _SESSION + b"/(?:attach|execute|execute_meta|link|proxy_execute|search)"),
        ("POST", _SESSION + b"/mounts/" + _SLUG + b"/(?:upload_url|download_url|delete)"),
        ("PATCH", _SESSION),
        ("DELETE", _SESSION),
    ),
    "compatible": _routes(*_COMPATIBLE),
    "azure": _routes(*_COMPATIBLE, _RESPONSES, *_OWN_RESPONSES, _IMAGES, _AUDIO),
    "groq": _routes(*_COMPATIBLE, _RESPONSES, _AUDIO),
    "mistral": _routes(
        *_COMPATIBLE, ("POST", b"/fim/completions"), ("POST", b"/(?:chat/)?moderations"), _AUDIO
    ),
    "openrouter": _routes(*_COMPATIBLE, _RESPONSES),
    "vllm": _routes(*_COMPATIBLE, _RESPONSES, _AUDIO),
    "xai": _routes(*_COMPATIBLE, _RESPONSES, *_OWN_RESPONSES, ("POST", b"/images/generations")),
}


def route_table(provider: str, allowed: Iterable[Route] = (), *, asks_usage: bool = True) -> RouteTable:
    """Return the routes of a provider: those of its kind, and what an admin allowed beside them.

    ``asks_usage`` is False where a provider refuses ``stream_options``.
    """
    own = _ROUTES.get(provider, _ROUTES["compatible"])
    if not asks_usage:
        own = tuple(replace(route, asks_usage=False) for route in own)
    return RouteTable(provider, (*own, *allowed))


def route_from(method: str, path: str) -> Route:
    """Return the route that an admin's ``METHOD /path`` names; ``*`` stands for one segment of a path.

    What it costs is known where the answer tells its usage.

    Raises:
        ValueError: it names none.

    """
    if method not in {"GET", "POST", "DELETE"} or not _ALLOWED_PATH.fullmatch(path):
        raise ValueError(f"{method} {path}")
    pattern = b"/".join(
        rb"[^/]+" if part == "*" else re.escape(part.encode("ascii")) for part in path.split("/")
    )
    return Route(
        method,
        re.compile(pattern),
        spends=method == "POST" and not is_only_kept(pattern),
        prose=False,
        harmless=method == "GET",
        bare=True,
        forms=_FORMS.search(pattern) is not None,
    )


@dataclass(frozen=True)
class Matched:
    """A request's route, its path below the version segment, also decoded, and the model that it names.

    ``things`` are what it names of what is kept at the provider, by collection and id; ``creates`` says that
    it makes one.
    """

    route: Route
    rest: bytes
    plain: bytes
    model: str | None
    things: tuple[tuple[str, str], ...] = ()
    creates: bool = False


@lru_cache(maxsize=1024)
def match(table: RouteTable, version: bytes, method: str, path: bytes) -> Matched:
    """Find the route of ``path``, as it came over the wire after the provider's name.

    SDKs differ in whether they add the version segment to a base URL themselves, so it may stand there twice.

    Raises:
        RouteRefused: it is not a safe one; the message names it.

    """
    rest = _without(_without(path, version), version) if version else path
    plain = unquote_to_bytes(rest)
    if not version or rest != path:
        for route in table.routes:
            found = route.method == method and route.pattern.fullmatch(plain)
            if found:
                model = found.groupdict().get("model")
                named = model.decode() if model and method == "POST" else None
                return Matched(route, rest, plain, named, named_in(plain), creates(method, plain))
    shown = path.decode("ascii", "replace")
    raise RouteRefused(
        f"{method} {shown} of {table.provider} is not among the routes that the gateway relays."
    )


def _without(path: bytes, version: bytes) -> bytes:
    return path[len(version) :] if path.startswith(version + b"/") else path
