"""Puts the gateway together, and the process that serves it alone: no sandboxes, no pages, no master key."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from httprelay import Timeouts
from shmastra_cloud.activity import Activity
from shmastra_cloud.awake import Awake
from shmastra_cloud.database import Notifications, open_pool
from shmastra_cloud.gateway import (
    BatchWriter,
    Gateway,
    KeyCache,
    Limiter,
    Ownership,
    Prices,
    chosen_models,
    further_names,
    providers_from_env,
    read_own_prices,
)
from shmastra_cloud.known_keys import KnownKeys
from shmastra_cloud.leases import LeasesInDatabase
from shmastra_cloud.metering import KeysInDatabase, write_usage
from shmastra_cloud.origins import origin_of
from shmastra_cloud.owned_ids import OwnedIdsInDatabase
from shmastra_cloud.probes import Probes, nothing
from shmastra_cloud.provider_list import announce
from shmastra_cloud.readiness import Readiness
from shmastra_cloud.rim import OwnHost
from shmastra_cloud.telemetry import Asked, Telemetry, Watched
from shmastra_cloud.web_process import GATEWAY, Cloud, Dispatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shmastra_cloud.database import Pool
    from shmastra_cloud.gateway import Provider, UsageRow
    from shmastra_cloud.settings import Settings


async def build_gateway(settings: Settings, dsn: str) -> Cloud:
    """Put a process together that serves the gateway and nothing else; it needs no master key and no engine.

    Raises:
        DatabaseError: the database cannot serve.
        BadConfiguration: a provider's setting is unusable.
    """
    providers = providers_from_env(os.environ)
    pool = await open_pool(dsn)
    await announce(pool, "gateway", further_names(providers))
    notifications = Notifications(dsn, {}, lambda: None)
    known = KnownKeys(pool, lambda: notifications.connected)
    keys = KeyCache(KeysInDatabase(pool), listening=lambda: notifications.connected, known=known)
    limits = await make_limits(pool, notifications)
    notifications.subscribe(
        {
            "user": lambda payload: keys.drop(UUID(payload)),
            "model_rule": partial(rule_changed, keys),
            **limits.heard(),
        },
        partial(_forget_all, keys, limits),
    )
    usage = BatchWriter(partial(write_and_tell, pool, limits))
    activity = Activity(Awake(pool), settings.idle_seconds)
    telemetry = Telemetry(settings, os.environ, providers)
    ownership = Ownership(OwnedIdsInDatabase(pool))
    gateway = make_gateway(settings, providers, keys, ownership, usage, activity, telemetry, limits)
    metrics = telemetry.metrics(Watched(gateway, keys, usage, notifications, Asked(pool, sandboxes=False)))
    probes = Probes(nothing, Readiness({"database": partial(database_answers, pool)}), metrics)
    public = Dispatch({GATEWAY: telemetry.around(gateway)}, probes)
    return Cloud(
        apps={"tcp": OwnHost(public, (settings.public_url, settings.gateway_url))},
        background=[
            notifications.run(),
            known.run(),
            usage.run(),
            ownership.run(),
            activity.run(),
            limits.run(),
        ],
        closing=[pool.close, limits.aclose, usage.aclose, ownership.aclose, telemetry.aclose, gateway.aclose],
    )


def _forget_all(keys: KeyCache, limits: Limiter) -> None:
    keys.drop_all()
    limits.changed()


async def make_limits(pool: Pool, notifications: Notifications) -> Limiter:
    """Return a process's ledger of budgets and limits, with all limits read."""
    limits = Limiter(LeasesInDatabase(pool), listening=lambda: notifications.connected)
    await limits.load()
    return limits


async def write_and_tell(pool: Pool, limits: Limiter, rows: Sequence[UsageRow]) -> None:
    """Write usage and tell the ledger, which holds on to what a row costs until it is written."""
    await write_usage(pool, rows)
    limits.written(rows)


def make_gateway(  # noqa: PLR0913, PLR0917 -- the gateway joins this many parts
    settings: Settings,
    providers: Mapping[str, Provider],
    keys: KeyCache,
    ownership: Ownership,
    usage: BatchWriter,
    activity: Activity,
    telemetry: Telemetry,
    limits: Limiter,
) -> Gateway:
    """Return the gateway, which counts a call as activity of the key's owner.

    Raises:
        BadConfiguration: ``SHMASTRA_PRICES`` can't be used.
    """
    return Gateway(
        providers,
        keys,
        telemetry.sink(usage),
        lambda user: activity.note(user, "a model call"),
        ownership=ownership,
        models=chosen_models(os.environ, providers),
        prices=Prices(read_own_prices(settings.prices)),
        limits=limits,
        timeouts=Timeouts(first_byte=settings.provider_seconds, idle=settings.provider_seconds),
        refused=telemetry.refused,
        origins={origin_of(settings.public_url), origin_of(settings.gateway_url)},
    )


def rule_changed(keys: KeyCache, payload: str) -> None:
    """Have a user's rule of models read again, or everybody's where it is the one for all."""
    if payload:
        keys.drop(UUID(payload))
    else:
        keys.drop_all()


async def database_answers(pool: Any) -> None:
    """Ask the database for nothing.

    Raises:
        OSError: it does not answer; or whatever else its driver raises.
    """
    await pool.fetchval("select 1")
