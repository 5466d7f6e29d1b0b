"""Puts the gateway together, and the process that serves it alone: no sandboxes, no pages, no master key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from httprelay import Timeouts
from shmastra_cloud.activity import Activity
from shmastra_cloud.awake import Awake
from shmastra_cloud.database import Notifications, check_schema, open_pool
from shmastra_cloud.draining import Draining
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
from shmastra_cloud.probes import OwnProbes, Probes, nothing
from shmastra_cloud.provider_list import announce
from shmastra_cloud.readiness import Readiness
from shmastra_cloud.rim import OwnHost
from shmastra_cloud.telemetry import Asked, Telemetry, Watched
from shmastra_cloud.web_process import GATEWAY, Cloud, Dispatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from httprelay import OpenStreams
    from shmastra_cloud.database import Pool
    from shmastra_cloud.gateway import Provider, UsageRow
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.telemetry import Metrics
    from shmastra_cloud.web_process import Asgi


@dataclass(frozen=True)
class GatewayParts:
    """The gateway of one process, whatever else that serves: what is served, heard of, run and closed.

    ``heard`` are handlers by channel and ``forget`` what a gap between notifications asks for; ``cut`` ends
    its calls.
    """

    providers: Mapping[str, Provider]
    served: Asgi
    metrics: Metrics | None
    heard: dict[str, Callable[[str], None]]
    forget: Callable[[], None]
    cut: Callable[[], None]
    background: list[Coroutine[Any, Any, None]]
    closing: list[Callable[[], Awaitable[None]]]


async def build_gateway(settings: Settings, dsn: str) -> Cloud:
    """Put a process together that serves the gateway and nothing else; it needs no master key and no engine.

    Raises:
        DatabaseError: the database cannot serve.
        BadConfiguration: a provider's setting is unusable.
    """
    pool = await open_pool(dsn, size=settings.database_connections)
    await check_schema(pool)
    notifications = Notifications(dsn, {}, lambda: None)
    activity = Activity(Awake(pool), settings.idle_seconds)
    parts = await gateway_parts(settings, pool, notifications, activity, told_by="gateway")
    notifications.subscribe(parts.heard, parts.forget)
    draining = Draining()
    ready = Readiness({"database": partial(database_answers, pool)}, draining)
    probes = Probes(nothing, ready, parts.metrics)
    public = Dispatch({GATEWAY: parts.served}, probes)
    return Cloud(
        apps={
            "tcp": OwnHost(public, (settings.public_url, settings.gateway_url)),
            "own": OwnProbes(parts.metrics),
        },
        background=[notifications.run(), activity.run(), *parts.background],
        closing=[pool.close, *parts.closing],
        draining=draining,
        cutting=[parts.cut],
    )


async def gateway_parts(
    settings: Settings,
    pool: Pool,
    notifications: Notifications,
    activity: Activity,
    *,
    told_by: Literal["web", "gateway"],
) -> GatewayParts:
    """Put the gateway of one process together, and announce its providers.

    Raises:
        DatabaseError: the database cannot serve.
        BadConfiguration: a provider's setting or ``SHMASTRA_PRICES`` is unusable.
    """
    providers = providers_from_env(os.environ)
    prices = Prices(read_own_prices(settings.prices))
    await announce(pool, told_by, further_names(providers))
    known = KnownKeys(pool, lambda: notifications.connected)
    keys = KeyCache(KeysInDatabase(pool), listening=lambda: notifications.connected, known=known)
    limits = await make_limits(pool, notifications)
    usage = BatchWriter(partial(write_and_tell, pool, limits))
    ownership = Ownership(OwnedIdsInDatabase(pool))
    telemetry = Telemetry(settings, os.environ, providers)
    gateway = Gateway(
        providers,
        keys,
        telemetry.sink(usage),
        lambda user: activity.note(user, "a model call"),
        ownership=ownership,
        models=chosen_models(os.environ, providers),
        prices=prices,
        limits=limits,
        timeouts=Timeouts(first_byte=settings.provider_seconds, idle=settings.provider_seconds),
        refused=telemetry.refused,
        origins={origin_of(settings.public_url), origin_of(settings.gateway_url)},
    )
    asked = Asked(pool, sandboxes=told_by == "web")
    return GatewayParts(
        providers=providers,
        served=telemetry.around(gateway),
        metrics=telemetry.metrics(Watched(gateway, keys, usage, notifications, asked)),
        heard={
            "user": partial(user_changed, keys, gateway.streams),
            "model_rule": partial(rule_changed, keys),
            **limits.heard(),
        },
        forget=partial(_forget_all, keys, limits, gateway.streams),
        cut=gateway.cut,
        background=[gateway.streams.run(), known.run(), usage.run(), ownership.run(), limits.run()],
        closing=[limits.aclose, usage.aclose, ownership.aclose, telemetry.aclose, gateway.aclose],
    )


def user_changed(keys: KeyCache, streams: OpenStreams, payload: str) -> None:
    """Forget a user's keys, and have what he has open checked anew."""
    keys.drop(UUID(payload))
    streams.suspect(UUID(payload))


def _forget_all(keys: KeyCache, limits: Limiter, streams: OpenStreams) -> None:
    keys.drop_all()
    limits.changed()
    streams.suspect_all()


async def make_limits(pool: Pool, notifications: Notifications) -> Limiter:
    """Return a process's ledger of budgets and limits, with all limits read."""
    limits = Limiter(LeasesInDatabase(pool), listening=lambda: notifications.connected)
    await limits.load()
    return limits


async def write_and_tell(pool: Pool, limits: Limiter, rows: Sequence[UsageRow]) -> None:
    """Write usage and tell the ledger, which holds on to what a row costs until it is written."""
    await write_usage(pool, rows)
    limits.written(rows)


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
