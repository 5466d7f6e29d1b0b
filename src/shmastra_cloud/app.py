"""Puts the parts of a web process together; the only place that knows them all.

Three applications share one set of parts: ``public`` for browsers, ``sandbox`` for what sandboxes may reach
(the gateway and the heal route), ``admin`` for the command line.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from httprelay import Pool as UpstreamPool
from httprelay import Timeouts
from shmastra_cloud import admin, studio, workspaces
from shmastra_cloud.database import Notifications, check_master_key, open_pool
from shmastra_cloud.gateway import BatchWriter, Gateway, KeyCache, providers_from_env
from shmastra_cloud.identity import Sessions, Users, key_hash
from shmastra_cloud.identity.routes import router as identity_router
from shmastra_cloud.metering import KeysInDatabase, write_usage
from shmastra_cloud.model_note import model_note
from shmastra_cloud.readiness import Readiness
from shmastra_cloud.rim import OwnHost, SameOrigin, SmallBodies
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.web_context import WebContext
from shmastra_cloud.workspaces import (
    Access,
    Activity,
    Awake,
    Dial,
    Engine,
    Lifecycle,
    MastraRelay,
    Resumer,
    Watch,
    WorkspaceParts,
    Workspaces,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping

    from starlette.requests import Request

    from shmastra_cloud.database import Pool
    from shmastra_cloud.gateway import Provider
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)

GATEWAY = "/api/gateway/"
MASTRA = "/api/mastra/"


@dataclass
class Cloud:
    """One web process: its applications by the socket they are served on, its tasks, how it is closed."""

    apps: dict[str, Asgi]
    background: list[Coroutine[Any, Any, None]]
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def aclose(self) -> None:
        """Close what was opened, the latest first."""
        for close in reversed(self.closing):
            await close()


async def build(settings: Settings, dsn: str) -> Cloud:
    """Open the database and put a web process together.

    Raises:
        DatabaseError: the database cannot serve.
        MasterKeyError: the master key cannot be had.
        BundleMissing: Studio's bundle is not there.
    """
    bundle = studio.Bundle(settings.studio, settings.public_url)
    vault = load_vault(settings)
    pool = await open_pool(dsn)
    await check_master_key(pool, vault)
    users, sessions, store = Users(pool, vault), Sessions(pool), Workspaces(pool, vault)
    engine, activity = Engine(settings), Activity(store, settings.idle_seconds)
    resumer, upstreams = Resumer(store, engine), UpstreamPool()
    notifications = Notifications(dsn, {}, lambda: None)
    watch = Watch(store, lambda: notifications.connected)
    keys = KeyCache(KeysInDatabase(pool), listening=lambda: notifications.connected)
    notifications.subscribe(
        {
            "sandbox": watch.changed,
            "user": partial(_user_changed, sessions, keys),
            "model_rule": partial(_rule_changed, keys),
        },
        partial(_forget_all, sessions, keys, watch),
    )
    usage = BatchWriter(partial(write_usage, pool))
    providers = providers_from_env(os.environ)
    gateway = _gateway(settings, providers, keys, usage, activity)
    parts = WorkspaceParts(
        store,
        watch,
        resumer,
        activity,
        partial(_key_owner, users),
        note=model_note(providers),
    )
    relay = MastraRelay(
        settings=settings,
        sessions=sessions,
        watch=watch,
        resumer=resumer,
        activity=activity,
        dial=Dial(settings),
        pool=upstreams,
    )
    studio_parts = studio.StudioParts(
        bundle, partial(_is_ready, watch), partial(_opened, activity), note=model_note(providers)
    )
    pages = _control(
        identity_router, workspaces.router, workspaces.heal_router, studio.router, admin.manage_router
    )
    pages.state.context = WebContext(settings, pool, sessions)
    pages.state.workspaces, pages.state.studio = parts, studio_parts
    ready = Readiness(
        {
            "database": partial(_database_answers, pool),
            "sandboxes": engine.ping,
            "template": partial(_template_is_there, engine),
        }
    )
    pages.add_api_route("/ready", ready.answer)
    healing = _control(workspaces.heal_router)
    healing.state.workspaces = parts
    commands = _control(admin.router)
    commands.state.admin = admin_parts(settings, pool, vault, engine, resumer)
    public = _Dispatch({GATEWAY: gateway, MASTRA: relay}, SameOrigin(SmallBodies(pages), settings.public_url))
    return Cloud(
        apps={
            "tcp": OwnHost(public, (settings.public_url, settings.gateway_url)),
            "sandbox": _Dispatch({GATEWAY: gateway}, SmallBodies(healing)),
            "admin": commands,
        },
        background=[notifications.run(), usage.run(), activity.run()],
        closing=[pool.close, usage.aclose, gateway.aclose, upstreams.aclose, engine.aclose],
    )


async def build_gateway(settings: Settings, dsn: str) -> Cloud:
    """Put a process together that serves the gateway and nothing else; it needs no master key and no engine.

    Raises:
        DatabaseError: the database cannot serve.
        BadConfiguration: a provider's setting is unusable.
    """
    providers = providers_from_env(os.environ)
    pool = await open_pool(dsn)
    notifications = Notifications(dsn, {}, lambda: None)
    keys = KeyCache(KeysInDatabase(pool), listening=lambda: notifications.connected)
    notifications.subscribe(
        {"user": lambda payload: keys.drop(UUID(payload)), "model_rule": partial(_rule_changed, keys)},
        keys.drop_all,
    )
    usage = BatchWriter(partial(write_usage, pool))
    activity = Activity(Awake(pool), settings.idle_seconds)
    gateway = _gateway(settings, providers, keys, usage, activity)
    pages = _control()
    pages.add_api_route("/ready", Readiness({"database": partial(_database_answers, pool)}).answer)
    return Cloud(
        apps={
            "tcp": OwnHost(_Dispatch({GATEWAY: gateway}, pages), (settings.public_url, settings.gateway_url))
        },
        background=[notifications.run(), usage.run(), activity.run()],
        closing=[pool.close, usage.aclose, gateway.aclose],
    )


def _gateway(
    settings: Settings,
    providers: Mapping[str, Provider],
    keys: KeyCache,
    usage: BatchWriter,
    activity: Activity,
) -> Gateway:
    return Gateway(
        providers,
        keys,
        usage,
        lambda user: activity.note(user, "a model call"),
        timeouts=Timeouts(first_byte=settings.provider_seconds, idle=settings.provider_seconds),
    )


@asynccontextmanager
async def administration(settings: Settings, dsn: str) -> AsyncIterator[Asgi]:
    """Give the admin's routes to a command whose machine runs no cloud, but whose database can be reached.

    Raises:
        DatabaseError: the database cannot serve.
        MasterKeyError: the master key cannot be had.
    """
    vault = load_vault(settings)
    pool = await open_pool(dsn, patience=5)
    engine = Engine(settings)
    try:
        await check_master_key(pool, vault)
        commands = _control(admin.router)
        commands.state.admin = admin_parts(
            settings, pool, vault, engine, Resumer(Workspaces(pool, vault), engine)
        )
        yield commands
    finally:
        await engine.aclose()
        await pool.close()


def admin_parts(
    settings: Settings, pool: Pool, vault: Vault, engine: Engine, resumer: Resumer
) -> admin.AdminParts:
    """Return what the admin's routes need."""
    store = Workspaces(pool, vault)
    return admin.AdminParts(
        settings=settings,
        pool=pool,
        users=Users(pool, vault),
        store=store,
        engine=engine,
        lifecycle=Lifecycle(store, engine, resumer),
        access=Access(store, engine, resumer, settings.idle_seconds),
    )


class _Dispatch:
    """Chooses by the path's prefix, without a framework on the way of what is relayed."""

    def __init__(self, prefixes: dict[str, Asgi], rest: Asgi) -> None:
        self._prefixes, self._rest = prefixes, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raw = scope["raw_path"].decode("latin-1")
            for prefix, app in self._prefixes.items():
                if raw.startswith(prefix):
                    return await app(scope, receive, send)
        return await self._rest(scope, receive, send)


def _control(*routers: Any) -> FastAPI:
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(asyncio.TimeoutError, _away)
    app.add_exception_handler(OSError, _away)
    app.add_api_route("/health", _health)
    return app


async def _health() -> dict[str, str]:
    return {"status": "ok"}


async def _database_answers(pool: Any) -> None:
    await pool.fetchval("select 1")


async def _template_is_there(engine: Engine) -> str | None:
    if await engine.has_template():
        return None
    return f"{engine.template} is missing: `shmastra template build` makes it"


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    detail = getattr(error, "detail", None)
    status = getattr(error, "status_code", 500)
    if not isinstance(detail, dict):
        detail = {"error": str(detail), "code": "not_found" if status == 404 else "refused"}
    return JSONResponse(detail, status)


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    """Name what is wrong with a request, without repeating what was sent."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    text = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in problems[:3])
    return JSONResponse({"error": f"This cannot be used: {text}.", "code": "bad_request"}, 400)


async def _away(_request: Request, error: Exception) -> JSONResponse:
    log.warning("the database does not answer (%s)", type(error).__name__)
    body = {"error": "The database does not answer. Try again in a moment.", "code": "database_away"}
    return JSONResponse(body, 503, {"retry-after": "2"})


def _user_changed(sessions: Sessions, keys: KeyCache, payload: str) -> None:
    sessions.forget()
    keys.drop(UUID(payload))


def _rule_changed(keys: KeyCache, payload: str) -> None:
    """Have a user's rule read again, or everybody's where it is the one for all."""
    if payload:
        keys.drop(UUID(payload))
    else:
        keys.drop_all()


def _forget_all(sessions: Sessions, keys: KeyCache, watch: Watch) -> None:
    sessions.forget()
    keys.drop_all()
    watch.drop_all()


async def _key_owner(users: Users, key: str) -> UUID | None:
    return await users.owner_of_key(key_hash(key))


async def _is_ready(watch: Watch, user_id: UUID) -> bool:
    workspace = await watch.find(user_id)
    return workspace is not None and workspace.status == "ready"


def _opened(activity: Activity, user_id: UUID) -> None:
    activity.note(user_id, "studio")
    activity.saw_page(user_id)
