"""What an admin adds to the known providers: others with the same API, time-outs and routes.

Every setting is a list whose entries end with ``;`` or a new line; errors name the setting and the entry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from httprelay import Timeouts
from shmastra_cloud.gateway.errors import BadConfiguration
from shmastra_cloud.gateway.presets import BUILT_IN, PRESETS, Kind
from shmastra_cloud.gateway.routes import route_from

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from shmastra_cloud.gateway.routes import Route

PROVIDERS = "SHMASTRA_PROVIDERS"
TIMEOUTS = "SHMASTRA_PROVIDER_TIMEOUTS"
ALLOW = "SHMASTRA_GATEWAY_ALLOW"
WITHOUT_STREAM_OPTIONS = "without-stream-options"
MAX_SECONDS = 3600.0
MAX_PROVIDERS = 50
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
# What stands in the cloud's environment for another purpose, and must not go out as anybody's key.
_NOT_KEYS = re.compile(r"(?:SHMASTRA|SANDBOXD|E2B|WORKOS|OIDC|DATABASE|PG|AWS)_?.*|PATH|HOME|USER")
_TAKEN = frozenset(("gemini", "demo", "catalog", "google-generative-ai", "azure-openai", "shmastra", "cloud"))


def further(environ: Mapping[str, str]) -> tuple[Kind, ...]:
    """Return the providers that ``SHMASTRA_PROVIDERS`` names: ``NAME=URL [KEY_VARIABLE] [option]``.

    Raises:
        BadConfiguration: an entry names none.

    """
    found: dict[str, Kind] = {}
    for entry in _entries(environ.get(PROVIDERS, "")):
        kind = _kind(entry)
        if kind.name in found:
            raise BadConfiguration(f"{PROVIDERS} names {kind.name} twice.")
        found[kind.name] = kind
    if len(found) > MAX_PROVIDERS:
        raise BadConfiguration(f"{PROVIDERS} may name {MAX_PROVIDERS} providers.")
    return tuple(found.values())


def _kind(entry: str) -> Kind:
    name, equals, rest = entry.partition("=")
    name, words = name.strip(), rest.split()
    if not equals or not words or len(name) > 32 or not _NAME.fullmatch(name):
        raise BadConfiguration(
            f"{PROVIDERS} must be like `acme=https://llm.acme.io/v1 ACME_KEY; lab=http://10.0.0.5:8000/v1`: "
            "a name in lower case, an address, and the variable that holds the key, if there is one."
        )
    if name in _TAKEN or any(name == kind.name for kind in (*BUILT_IN, *PRESETS)):
        raise BadConfiguration(f"{PROVIDERS}: {name} is a name that the gateway uses itself; choose another.")
    url, *others = words
    options = [word for word in others if word == WITHOUT_STREAM_OPTIONS]
    variables = [word for word in others if word != WITHOUT_STREAM_OPTIONS]
    if len(variables) > 1 or len(options) > 1 or not all(_is_key_variable(word) for word in variables):
        raise BadConfiguration(
            f"{PROVIDERS}: after the address of {name} may stand the name of the variable that holds its key "
            f"(such as {_prefix(name)}_KEY, never the key itself and none of the cloud's own), and "
            f"`{WITHOUT_STREAM_OPTIONS}`."
        )
    return Kind(
        name,
        variables[0] if variables else "",
        f"{PROVIDERS} ({name})",
        url,
        key_optional=not variables,
        asks_usage=not options,
    )


def _is_key_variable(word: str) -> bool:
    return bool(_VARIABLE.fullmatch(word)) and not _NOT_KEYS.fullmatch(word)


def _prefix(name: str) -> str:
    return name.upper().replace("-", "_")


def timeouts(environ: Mapping[str, str], known: Container[str]) -> dict[str, Timeouts]:
    """Return the providers' own time-outs, in seconds: ``NAME=CONNECT/FIRST_BYTE/IDLE``.

    Raises:
        BadConfiguration: an entry is not of this form.

    """
    found = {}
    for entry in _entries(environ.get(TIMEOUTS, "")):
        name, _, value = (part.strip() for part in entry.partition("="))
        _check_known(name, known, TIMEOUTS)
        try:
            connect, first_byte, idle = (float(part) for part in value.split("/"))
        except ValueError:
            connect = first_byte = idle = 0.0
        if not all(0 < seconds <= MAX_SECONDS for seconds in (connect, first_byte, idle)):
            raise BadConfiguration(
                f"{TIMEOUTS} must be like `openai=5/600/300; vllm=2/900/900`: seconds to connect, until the "
                f"first byte, and between two pieces of an answer, each above 0 and at most {MAX_SECONDS:g}; "
                f"look at {name}."
            )
        found[name] = Timeouts(connect, first_byte, idle)
    return found


def allowed(environ: Mapping[str, str], known: Container[str]) -> dict[str, list[Route]]:
    """Return the routes that an admin allows beside the safe ones: ``NAME: METHOD /path``.

    Raises:
        BadConfiguration: an entry is not of this form.

    """
    found: dict[str, list[Route]] = {}
    for entry in _entries(environ.get(ALLOW, "")):
        name, _, line = (part.strip() for part in entry.partition(":"))
        _check_known(name, known, ALLOW)
        method, _, path = line.partition(" ")
        try:
            route = route_from(method, path.strip())
        except ValueError as error:
            raise BadConfiguration(
                f"{ALLOW} must be like `openai: POST /batches; openai: GET /files/*`: GET, POST or DELETE "
                f"and a path below the version segment, in which * stands for one segment; look at {name}."
            ) from error
        found.setdefault(name, []).append(route)
    return found


def _entries(value: str) -> Iterator[str]:
    return (entry.strip() for entry in re.split(r"[;\n]", value) if entry.strip())


def _check_known(name: str, known: Container[str], variable: str) -> None:
    if name not in known:
        raise BadConfiguration(f"{variable} names {name[:40]!r}, which is no provider here.")
