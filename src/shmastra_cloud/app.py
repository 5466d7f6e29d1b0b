"""Puts the parts of a web process together; the only place that knows them all.

Three applications share one set of parts: ``public`` for browsers, ``sandbox`` for what sandboxes may reach
(the gateway and the heal route), ``admin`` for the command line.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from httprelay import Pool as UpstreamPool
from shmastra_cloud import admin, budgets, reach, spending, studio, workspaces
from shmastra_cloud.activity import Activity
from shmastra_cloud.api_tokens import Logins, Tokens
from shmastra_cloud.api_tokens import routes as api_tokens
from shmastra_cloud.database import AWAY, Notifications, check_master_key, check_schema, open_pool
from shmastra_cloud.draining import Draining
from shmastra_cloud.gateway import chosen_models
from shmastra_cloud.gateway_app import database_answers, gateway_parts
from shmastra_cloud.housekeeping import sweep
from shmastra_cloud.identity import Sessions, Users, choose, key_hash
from shmastra_cloud.identity.limit import SignInLimit
from shmastra_cloud.identity.routes import router as identity_router
from shmastra_cloud.mail import Post
from shmastra_cloud.model_note import model_note
from shmastra_cloud.probes import OwnProbes, Probes
from shmastra_cloud.readiness import Readiness
from shmastra_cloud.rim import OwnHost, SameOrigin, SmallBodies
from shmastra_cloud.safe_headers import SafeHeaders
from shmastra_cloud.secrets_at_rest import HEARD, Holding, MasterKeyError, load_vault
from shmastra_cloud.web_context import WebContext
from shmastra_cloud.web_process import GATEWAY, MANAGE, MASTRA, Cloud, Dispatch
from shmastra_cloud.workspaces import (
    Access,
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
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from starlette.requests import Request

    from shmastra_cloud.database import Pool
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.web_process import Asgi

log = logging.getLogger(__name__)


async def build(settings: Settings, dsn: str) -> Cloud:
    """Open the database and put a web process together.

    Raises:
        DatabaseError: the database cannot serve.
        MasterKeyError: the master key cannot be had.
        BundleMissing: Studio's bundle is not there.
        BadConfiguration: a provider's setting is unusable.
    """
    bundle = studio.Bundle(settings.studio, settings.public_url)
    vault = load_vault(settings)
    pool = await open_pool(dsn, size=settings.database_connections)
    await check_schema(pool)
    await check_master_key(pool, vault)
    draining = Draining()
    notifications = Notifications(dsn, {}, lambda: None, pulse=Holding(vault))
    sessions = Sessions(
        pool,
        lambda: notifications.connected,
        life=dt.timedelta(hours=settings.session_hours),
        idle=dt.timedelta(hours=settings.session_idle_hours),
    )
    users, store = Users(pool, vault), Workspaces(pool, vault)
    engine, activity = Engine(settings), Activity(store, settings.idle_seconds)
    resumer, upstreams = Resumer(store, engine), UpstreamPool()
    watch = Watch(store, lambda: notifications.connected)
    gateway = await gateway_parts(settings, pool, notifications, activity, told_by="web")
    await choose.end_others(settings, pool)
    ways = choose.ways(settings, pool, vault, users)
    post = None
    if settings.smtp is not None and settings.sign_in == "local":
        post = Post(pool, settings.smtp, settings.public_url)
    context = WebContext(settings, pool, sessions, ways, post)
    tokens = Tokens(pool)
    commands = _control(admin.router)
    commands.state.admin = admin_parts(settings, pool, vault, engine, resumer)
    manage = admin.ManageGate(commands, admin.Callers(context, tokens))
    notifications.subscribe(
        {
            **gateway.heard,
            "sandbox": watch.changed,
            "session": partial(_heard, [sessions.ended], manage.changed),
            "api_token": lambda _: manage.changed(),
            "user": partial(_heard, [sessions.user_changed, gateway.heard["user"]], manage.changed),
            HEARD: lambda _: vault.reload(),
        },
        partial(_forget_all, sessions, watch, gateway.forget, manage.changed),
    )
    draining.tell(watch.drop_all)
    note = model_note(gateway.providers, chosen_models(os.environ, gateway.providers))
    parts = WorkspaceParts(
        store,
        watch,
        resumer,
        activity,
        partial(_key_owner, users),
        note=note,
        draining=draining,
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
        bundle, partial(_is_ready, watch), partial(_opened, activity), note=note, draining=draining
    )
    pages = _control(
        identity_router,
        workspaces.router,
        workspaces.heal_router,
        studio.router,
        spending.router,
        budgets.router,
        reach.router,
        api_tokens.router,
        *(way.router for way in ways),
    )
    book = budgets.Budgets(pool)
    pages.state.context = context
    pages.state.api_tokens = api_tokens.TokenParts(tokens, Logins(pool))
    pages.state.reach = reach.ReachParts(settings, vault)
    pages.state.workspaces, pages.state.studio = parts, studio_parts
    pages.state.spending = spending.SpendingParts(spending.Days(pool), partial(_budgets, book))
    pages.state.budgets = budgets.BudgetParts(book, spending.Days(pool))
    ready = Readiness(
        {
            "database": partial(database_answers, pool),
            "sandboxes": engine.ping,
            "template": partial(_template_is_there, engine),
        },
        draining,
    )
    healing = _control(workspaces.heal_router)
    healing.state.workspaces = parts
    hooks = [api_tokens.BEGIN, api_tokens.POLL, *(path for way in ways for path in way.hooks)]
    rest = Probes(
        SameOrigin(SmallBodies(SignInLimit(pages, context)), settings.public_url, hooks),
        ready,
        gateway.metrics,
    )
    public = Dispatch(
        {
            GATEWAY: gateway.served,
            MASTRA: relay,
            MANAGE: SameOrigin(manage, settings.public_url, programs=True),
        },
        rest,
    )
    return Cloud(
        apps={
            "tcp": SafeHeaders(
                OwnHost(public, (settings.public_url, settings.gateway_url)), https=settings.https
            ),
            "sandbox": Dispatch({GATEWAY: gateway.served}, SmallBodies(healing)),
            "admin": admin.AtSocket(commands),
            "own": OwnProbes(gateway.metrics),
        },
        background=[
            notifications.run(),
            sessions.streams.run(),
            sweep(context),
            activity.run(),
            *([] if post is None else [post.run()]),
            *gateway.background,
            *(work for way in ways for work in way.background),
        ],
        closing=[
            pool.close,
            *gateway.closing,
            *(close for way in ways for close in way.closing),
            upstreams.aclose,
            engine.aclose,
        ],
        protocols={"admin": admin.PeerProtocol, "own": admin.PeerProtocol},
        draining=draining,
        cutting=[gateway.cut, upstreams.cut],
    )


@asynccontextmanager
async def administration(settings: Settings, dsn: str) -> AsyncIterator[Asgi]:
    """Give the admin's routes to a command whose machine runs no cloud, but whose database can be reached.

    Raises:
        DatabaseError: the database cannot serve.
        MasterKeyError: the master key cannot be had.
    """
    vault = load_vault(settings)
    pool = await open_pool(dsn, patience=5, size=2)
    engine = Engine(settings)
    try:
        await check_schema(pool)
        await check_master_key(pool, vault)
        commands = _control(admin.router)
        commands.state.admin = admin_parts(
            settings, pool, vault, engine, Resumer(Workspaces(pool, vault), engine)
        )
        yield admin.InProcess(commands)
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
        vault=vault,
        users=Users(pool, vault),
        store=store,
        engine=engine,
        lifecycle=Lifecycle(store, engine, resumer),
        access=Access(store, engine, resumer, settings.idle_seconds),
    )


def _control(*routers: Any) -> FastAPI:
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refusal)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(MasterKeyError, _sealed)
    app.add_exception_handler(asyncio.TimeoutError, _away)
    for kind in (OSError, *AWAY):
        app.add_exception_handler(kind, _away)
    return app


async def _template_is_there(engine: Engine) -> str | None:
    if await engine.has_template():
        return None
    return f"{engine.template} is missing: `shmastra template build` makes it"


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    detail = getattr(error, "detail", None)
    status = getattr(error, "status_code", 500)
    if not isinstance(detail, dict):
        detail = {"error": str(detail), "code": "not_found" if status == 404 else "refused"}
    return JSONResponse(detail, status, getattr(error, "headers", None))


async def _malformed(_request: Request, error: Exception) -> JSONResponse:
    """Name what is wrong with a request, without repeating what was sent."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    text = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in problems[:3])
    return JSONResponse({"error": f"This cannot be used: {text}.", "code": "bad_request"}, 400)


async def _sealed(_request: Request, error: Exception) -> JSONResponse:
    log.error("a secret cannot be opened: %s", error)
    text = "A secret of this workspace cannot be opened. An admin finds out why with `shmastra doctor`."
    return JSONResponse({"error": text, "code": "master_key"}, 503)


async def _away(_request: Request, error: Exception) -> JSONResponse:
    log.warning("the database does not answer (%s)", type(error).__name__)
    body = {"error": "The database does not answer. Try again in a moment.", "code": "database_away"}
    return JSONResponse(body, 503, {"retry-after": "2"})


def _heard(calls: list[Callable[[str], None]], then: Callable[[], None], payload: str) -> None:
    for call in calls:
        call(payload)
    then()


def _forget_all(
    sessions: Sessions, watch: Watch, forget: Callable[[], None], changed: Callable[[], None]
) -> None:
    forget()
    sessions.forget()
    watch.drop_all()
    changed()


async def _key_owner(users: Users, key: str) -> UUID | None:
    return await users.owner_of_key(key_hash(key))


async def _budgets(book: budgets.Budgets, user_id: UUID | None) -> list[spending.Budget]:
    """Return the budgets that a usage page shows: a user's own, or the organization's."""
    found = (await book.show("organization"))["budget"] if user_id is None else await book.applying(user_id)
    whose = "Everyone's" if user_id is None else "Your"
    return [
        spending.Budget(
            f"{whose} {name.removeprefix('usd_per_')}",
            Decimal(str(one["limit"])),
            Decimal(str(one["spent"])),
            datetime.fromisoformat(one["resets_at"]),
        )
        for name, one in found.items()
        if name.startswith("usd_per_")
    ]


async def _is_ready(watch: Watch, user_id: UUID) -> bool:
    workspace = await watch.find(user_id)
    return workspace is not None and workspace.status == "ready"


def _opened(activity: Activity, user_id: UUID) -> None:
    activity.note(user_id, "studio")
    activity.saw_page(user_id)
