"""Which routes of a provider are safe to share behind one real key, and what each of them is.

Everything that reads or writes data of the whole account (files, batches, fine-tuning, assistants,
containers, administration) is left out: it would be shared by all users.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from shmastra_cloud.gateway.errors import RouteRefused

_MODEL = rb"(?P<model>[A-Za-z0-9][A-Za-z0-9._:@~-]*)"
_SLUG = rb"[A-Za-z0-9_-]+"


@dataclass(frozen=True)
class Route:
    """A safe route: ``spends`` says that it uses tokens, ``chat`` that it is OpenAI's chat completions.

    ``prose`` says that the answer is text, so that tokens can be estimated from bytes where none are told,
    ``audio`` that speech is made or read, ``draws`` that pictures are made.
    """

    method: str
    pattern: re.Pattern[bytes]
    spends: bool = True
    prose: bool = True
    audio: bool = False
    draws: bool = False
    chat: bool = False
    responses: bool = False
    owned: bool = False


_NO_PROSE = re.compile(rb"mbed|images|audio")


def _routes(*lines: tuple[str, bytes]) -> tuple[Route, ...]:
    return tuple(
        Route(
            method,
            re.compile(pattern),
            spends=method == "POST" and b"ount" not in pattern,
            prose=not _NO_PROSE.search(pattern),
            audio=b"audio" in pattern,
            draws=b"images" in pattern,
            chat=pattern == b"/chat/completions",
            responses=pattern == b"/responses",
        )
        for method, pattern in lines
    )


_OPENAI_MODELS = (("GET", b"/models"), ("GET", b"/models/" + _MODEL))
_ROUTES = {
    "openai": _routes(
        ("POST", b"/chat/completions"),
        ("POST", b"/responses"),
        ("POST", b"/embeddings"),
        ("POST", b"/images/generations"),
        ("POST", b"/audio/(?:speech|transcriptions|translations)"),
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
    # Only the catalogue is the same for everyone; what acts for somebody must name the key's owner.
    "composio": (
        *_routes(
            ("GET", rb"/api/v3(?:\.\d)?/(?:tools|toolkits)(?:/" + _SLUG + b")?"),
            ("GET", rb"/api/v3(?:\.\d)?/toolkits/categories"),
        ),
        Route("POST", re.compile(rb"/api/v3(?:\.\d)?/tools/execute/" + _SLUG), spends=False, owned=True),
    ),
}


@dataclass(frozen=True)
class Matched:
    """A request's route, its path below the version segment, and the model that the path names."""

    route: Route
    rest: bytes
    model: str | None


@lru_cache(maxsize=1024)
def match(provider: str, version: bytes, method: str, path: bytes) -> Matched:
    """Find the route of ``path``, as it came over the wire after the provider's name.

    SDKs differ in whether they add the version segment to a base URL themselves, so it may stand there twice.

    Raises:
        RouteRefused: it is not a safe one; the message names it.

    """
    rest = _without(_without(path, version), version) if version else path
    plain = unquote_to_bytes(rest)
    if not version or rest != path:
        for route in _ROUTES[provider]:
            found = route.method == method and route.pattern.fullmatch(plain)
            if found:
                model = found.groupdict().get("model")
                return Matched(route, rest, model.decode() if model and method == "POST" else None)
    shown = path.decode("ascii", "replace")
    raise RouteRefused(f"{method} {shown} of {provider} is not among the routes that the gateway relays.")


def _without(path: bytes, version: bytes) -> bytes:
    return path[len(version) :] if path.startswith(version + b"/") else path
