"""Whether each provider takes its keys: a request for each that costs nothing, only where it is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from shmastra_cloud.doctor.check import Check, failed, ok, warning
from shmastra_cloud.gateway import BadConfiguration, providers_from_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shmastra_cloud.gateway import Provider

SECONDS = 10
# A list that each provider gives: Composio has no models.
LISTS = {"composio": "/api/v3/toolkits?limit=1", "google": "/models?pageSize=1", "demo": ""}
ALWAYS = {"anthropic-version": "2023-06-01"}


async def provider_keys(environ: Mapping[str, str]) -> list[Check]:
    """Ask every provider that has keys, with each of them."""
    try:
        known = {one.name: one for one in providers_from_env(environ).values() if one.configured}
    except BadConfiguration:
        return []  # which the check of the providers tells
    asked = [one for one in known.values() if one.name != "demo"]
    return await asyncio.gather(*(_keys_of(one) for one in asked))


async def _keys_of(provider: Provider) -> Check:
    name, keys = f"keys_{provider.name}", provider.keys.all() or (b"",)
    statuses = await asyncio.gather(*(_ask(provider, key) for key in keys))
    refused = [at for at, status in enumerate(statuses, 1) if status in (401, 403)]
    if refused:
        which = ", ".join(map(str, refused))
        text = f"refused: key {which} of {len(keys)}"
        return failed(name, text, f"Take it out of {provider.variable}, or put in another.")
    if any(status == 0 for status in statuses):
        return warning(name, "it does not answer", "Is its address right, and reachable from here?")
    if all(status < 300 or status == 429 for status in statuses):
        return ok(name, f"{len(keys)} accepted" if provider.keys.all() else "it answers, without a key")
    return warning(
        name, f"it answers {max(statuses)}", "Ask it again later; its own status page may say more."
    )


async def _ask(provider: Provider, key: bytes) -> int:
    """Return the status of its answer; 0 for none."""
    target = provider.target
    url = f"{'https' if target.tls else 'http'}://{target.authority.decode()}{provider.base_path.decode()}"
    headers = {**ALWAYS, provider.key_header.decode(): (provider.key_prefix + key).decode("latin-1")}
    try:
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as http:
            answer = await http.get(
                url + LISTS.get(provider.name, "/models"), headers=headers if key else ALWAYS
            )
    except (httpx.HTTPError, ValueError):
        return 0
    return answer.status_code
