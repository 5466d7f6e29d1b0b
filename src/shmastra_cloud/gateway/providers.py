"""The providers that the gateway knows, and what the environment says of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from httprelay import Target, Timeouts
from shmastra_cloud.gateway import configured
from shmastra_cloud.gateway.places import check_in_the_clear, keys, place
from shmastra_cloud.gateway.pools import KeyPool
from shmastra_cloud.gateway.presets import BUILT_IN, EXAMPLES, PRESETS, Tiers
from shmastra_cloud.gateway.routes import RouteTable, route_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway.formats import Format
    from shmastra_cloud.gateway.pools import Taken
    from shmastra_cloud.gateway.presets import Kind
    from shmastra_cloud.gateway.routes import Route

DEMO_MODEL = "smollm2-135m-instruct"
FIXED = ("openai", "anthropic", "google", "composio", "demo")


@dataclass(frozen=True)
class Provider:
    """Where a provider is, how it is asked and how it says that something went wrong.

    ``variable`` is what an admin sets to have it; ``there`` says that it can be asked, with a key or without;
    ``timeouts`` are its own, None for the gateway's; ``models`` serve the tiers unless he chooses others.
    """

    name: str
    target: Target
    base_path: bytes
    version: bytes
    key_header: bytes
    key_prefix: bytes
    style: Format
    variable: str
    routes: RouteTable
    keys: KeyPool = field(default_factory=KeyPool, compare=False)
    there: bool = False
    timeouts: Timeouts | None = None
    models: Tiers | None = None

    @property
    def configured(self) -> bool:
        """Whether requests can be sent to it."""
        return self.there

    def key_lines(self, taken: Taken | None) -> list[tuple[bytes, bytes]]:
        """Return the header that carries a real key, or none for a provider that needs none."""
        return [] if taken is None else [(self.key_header, self.key_prefix + taken.key)]


def providers_from_env(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Return every provider by the name that stands in the gateway's paths.

    One without a key is there too, so that the answer can name the variable to set; ``gemini`` is ``google``.

    Raises:
        BadConfiguration: a setting is unusable; the message names it and never a key.

    """
    kinds = (*BUILT_IN, *PRESETS, *configured.further(environ))
    known = {kind.name for kind in kinds} | {"demo"}
    timeouts, allowed = configured.timeouts(environ, known), configured.allowed(environ, known)
    providers = {
        kind.name: _provider(kind, environ, timeouts.get(kind.name), allowed.get(kind.name, []))
        for kind in BUILT_IN
    }
    providers["gemini"] = providers["google"]
    providers["demo"] = _demo(environ, timeouts.get("demo"), allowed.get("demo", []))
    return providers | {
        kind.name: _provider(kind, environ, timeouts.get(kind.name), allowed.get(kind.name, []))
        for kind in kinds[len(BUILT_IN) :]
    }


def further_names(providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """Return who can be asked beside the providers that every sandbox is told of, in alphabetical order."""
    return tuple(sorted(name for name, one in providers.items() if one.configured and one.name not in FIXED))


def key_variables(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables that hold real keys.

    Raises:
        BadConfiguration: ``SHMASTRA_PROVIDERS`` is unusable.

    """
    kinds = (*BUILT_IN, *PRESETS, *configured.further(environ))
    return frozenset(kind.variable for kind in kinds if kind.variable)


def _provider(
    kind: Kind, environ: Mapping[str, str], timeouts: Timeouts | None, allowed: list[Route]
) -> Provider:
    url = environ.get(kind.url_variable) or kind.url
    pool = keys(environ.get(kind.variable, ""), kind.variable)
    example = EXAMPLES.get(kind.name) or kind.url or ""
    if kind.url_variable.startswith(configured.PROVIDERS):
        example = "https://llm.acme.io/v1"
    there = place(url or "http://localhost", kind.url_variable, example=example, version=kind.version)
    if pool and url:
        check_in_the_clear(there, kind.url_variable, environ)
    return Provider(
        name=kind.name,
        target=there.target,
        base_path=there.path,
        version=kind.version,
        key_header=kind.key_header,
        key_prefix=kind.key_prefix,
        style=kind.style,
        variable=_switch(kind),
        routes=route_table(kind.name, allowed, asks_usage=kind.asks_usage),
        keys=KeyPool(pool, name=kind.name),
        there=bool(url and (pool or kind.key_optional)),
        timeouts=timeouts,
        models=kind.models,
    )


def _switch(kind: Kind) -> str:
    """Name what an admin sets to switch a provider on."""
    if kind.url is not None:
        return kind.variable
    return kind.url_variable if kind.key_optional else f"{kind.variable} and {kind.url_variable}"


def _demo(environ: Mapping[str, str], timeouts: Timeouts | None, allowed: list[Route]) -> Provider:
    socket = environ.get("SHMASTRA_DEMO_SOCKET", "")
    key = environ.get("SHMASTRA_DEMO_API_KEY") or "demo"
    return Provider(
        name="demo",
        target=Target(unix_socket=socket or None),
        base_path=b"/v1",
        version=b"/v1",
        key_header=b"authorization",
        key_prefix=b"Bearer ",
        style="openai",
        variable="SHMASTRA_DEMO_MODEL",
        routes=route_table("demo", allowed),
        keys=KeyPool(keys(key, "SHMASTRA_DEMO_API_KEY") if socket else (), name="demo"),
        there=bool(socket),
        timeouts=timeouts,
        models=Tiers(DEMO_MODEL, DEMO_MODEL, DEMO_MODEL),
    )
