"""What `shmastra up` brings up, out of the settings: the plan for the supervisor."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

from pydantic import SecretStr

from sandboxd.base_template import build_base
from sandboxd.errors import EngineError
from shmastra_cloud.backup import clear, finish
from shmastra_cloud.database import check_master_key, cleaned, migrate, open_pool
from shmastra_cloud.gateway import key_variables
from shmastra_cloud.identity import Users, make_link
from shmastra_cloud.progress import Progress
from shmastra_cloud.secrets_at_rest import load_vault
from shmastra_cloud.supervisor import UpPlan, existing
from shmastra_cloud.templates import (
    SOURCE,
    BuildFailed,
    build,
    install,
    is_built,
    is_installed,
    studio_bundle,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from shmastra_cloud.settings import Settings

ADMIN = "admin@localhost"
BUILD_BYTES = 3 << 30
COMPLAINT = "shmastra: "
SIGN_IN_VARIABLES = ("WORKOS_", "OIDC_")
ENGINE_VARIABLES = ("SHMASTRA_SANDBOX_",)


def ensure_studio(data: Path, say: Callable[[str], None]) -> None:
    """Fetch Studio's bundle, where it is missing or another; needs neither root nor the engine's tools.

    Raises:
        BuildFailed: a step failed.
    """
    if is_complete(data, engine=False):
        return
    with Progress(say) as progress:
        progress("fetching Studio")
        install(SOURCE, data / "cache" / "project")
    studio_bundle(data / "cache", data / "studio")


def ensure_template(data: Path, say: Callable[[str], None]) -> None:
    """Build what is missing of the base template, the template and Studio's bundle.

    Raises:
        BuildFailed: a step failed.
    """
    templates, cache = data / "engine" / "templates", data / "cache"
    fresh = not is_built(templates)
    if fresh:
        _check_space(data)
    with Progress(say) as progress:
        try:
            build_base(templates, progress)
        except EngineError as error:
            raise BuildFailed(str(error)) from error
        build(templates, cache, progress)
    if fresh or not (data / "studio" / "index.html").exists():
        studio_bundle(cache, data / "studio")


def is_complete(data: Path, *, engine: bool = True) -> bool:
    """Tell whether Studio's bundle is there and, where sandboxes run here, the template of this source."""
    templates = data / "engine" / "templates"
    base = (templates / "base" / "template.json").exists()
    studio = (data / "studio" / "index.html").exists()
    if engine:
        return studio and base and is_built(templates)
    return studio and is_installed(SOURCE, data / "cache" / "project")


async def _build_apart(data: Path, say: Callable[[str], None]) -> None:
    """Build in a process of its own, which ends with all that it started when this task is cancelled.

    Raises:
        BuildFailed: a step failed; the message is that process's last word.
    """
    argv = [sys.executable, "-m", "shmastra_cloud", "template", "build", "--data", str(data)]
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    last = ""
    try:
        while process.stdout is not None and (line := await process.stdout.readline()):
            last = line.decode(errors="replace").strip() or last
            if not last.startswith(COMPLAINT):
                say(last)
        await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        raise BuildFailed(last.removeprefix(COMPLAINT))


def _check_space(data: Path) -> None:
    free = shutil.disk_usage(existing(data)).free
    if free < BUILD_BYTES:
        raise BuildFailed(
            f"{free >> 20} MB are free in {data}, and building the template needs {BUILD_BYTES >> 20} MB: "
            "free some space, or choose a larger disk with --data."
        )


def plan_up(settings: Settings, say: Callable[[str], None]) -> UpPlan:
    """Return the plan; ``say`` takes the ready line and the one-time link."""
    data = settings.data.resolve()

    async def prepare(dsn: str) -> None:
        pool = await open_pool(dsn)
        try:
            await migrate(pool)
            await check_master_key(pool, load_vault(settings))
        finally:
            await pool.close()

    async def on_ready(dsn: str) -> None:
        say(f"Shmastra Cloud is ready: {settings.public_url}")
        pool = await open_pool(dsn)
        try:
            users = Users(pool, load_vault(settings))
            if not await users.admin_has_signed_in():
                token, _ = await make_link(pool, await users.invite(ADMIN, admin=True))
                say(f"Sign in once as admin: {settings.public_url}/login/link/{token}")
        finally:
            await pool.close()

    async def on_stop(dsn: str, environ: Mapping[str, str]) -> None:
        await _pause_sandboxes(settings, dsn, environ)

    async def build_template() -> None:
        if not is_complete(data, engine=settings.local_engine):
            await _build_apart(data, say)

    def finish_restore() -> None:
        finish(data, say)
        clear(data)

    return UpPlan(
        finish=finish_restore,
        build=build_template,
        data=data,
        host=settings.host,
        port=settings.port,
        public_url=settings.public_url,
        webs=settings.web_workers,
        environ={**os.environ, "SHMASTRA_DATA": str(data)},
        web_only=key_variables(os.environ)
        | {"SHMASTRA_METRICS_TOKEN", "OTEL_EXPORTER_OTLP_HEADERS", "SHMASTRA_SMTP_URL", "SHMASTRA_SIGN_IN"}
        | {name for name in os.environ if name.startswith(SIGN_IN_VARIABLES)},
        prepare=prepare,
        on_ready=on_ready,
        on_stop=on_stop if settings.local_engine else _leave_to_the_service,
        database_url=cleaned(settings.database_url.get_secret_value()) if settings.database_url else None,
        demo_model=settings.demo_wanted(os.environ),
        engine=settings.local_engine and settings.engine_url is None,
        engine_environ={
            name: value for name, value in os.environ.items() if name.startswith(ENGINE_VARIABLES)
        },
    )


async def _leave_to_the_service(_dsn: str, _environ: Mapping[str, str]) -> None:
    """Do nothing: sandboxes that run elsewhere pause when their time is up."""


async def _pause_sandboxes(settings: Settings, dsn: str, environ: Mapping[str, str]) -> None:
    from shmastra_cloud.workspaces import Engine, Workspaces, pause_all

    own = {
        "engine_url": environ.get("SHMASTRA_ENGINE_URL", settings.engine_url),
        "own_engine_key": SecretStr(environ.get("SHMASTRA_ENGINE_KEY", "")),
    }
    pool, engine = await open_pool(dsn, patience=1), Engine(settings.model_copy(update=own))
    try:
        await pause_all(Workspaces(pool, load_vault(settings)), engine, "the cloud was stopped")
    finally:
        await engine.aclose()
        await pool.close()
