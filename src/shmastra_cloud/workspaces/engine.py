"""The sandbox service, through the E2B SDK: find, create, resume, pause, and what is run inside."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from e2b import AsyncSandbox, AsyncTemplate, SandboxException, SandboxQuery
from e2b.exceptions import (
    AuthenticationException,
    NotFoundException,
    SandboxNotFoundException,
)

from shmastra_cloud.workspaces.dial import Dial, as_text
from shmastra_cloud.workspaces.errors import EngineAway, SandboxGone, StartFailed, TemplateMissing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shmastra_cloud.settings import Settings

PROJECT = "/home/user/shmastra"
START = "/opt/shmastra/start"
START_SECONDS = 30
REQUEST_SECONDS = 20
LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Running:
    """A running sandbox and how to reach it."""

    sandbox: AsyncSandbox
    id: str
    host: str | None
    traffic_token: str | None


class Engine:
    """What the cloud asks of the sandbox service; every call has a time-out."""

    def __init__(self, settings: Settings) -> None:
        self._dial = Dial(settings)
        self.template = settings.template
        self._lease_seconds = settings.idle_seconds * 3
        self._egress = [host.strip() for host in settings.egress_allow.split(",") if host.strip()]
        self._options: dict[str, Any] = {
            "api_key": settings.engine_key,
            "api_url": settings.engine_api_url,
            "sandbox_url": settings.engine_sandbox_url,
            "domain": settings.e2b_domain,
            "request_timeout": REQUEST_SECONDS,
            "retries": 0,
        }
        self._http = httpx.AsyncClient(timeout=5, trust_env=False)

    @property
    def lease_seconds(self) -> int:
        """For how long the service keeps a sandbox running without hearing from the cloud."""
        return self._lease_seconds

    async def aclose(self) -> None:
        """Close what is kept open."""
        await self._http.aclose()

    async def find(self, workspace_id: UUID) -> str | None:
        """Return the id of the sandbox that was made for a workspace, if its making was not recorded."""
        async with translated():
            pages = AsyncSandbox.list(
                query=SandboxQuery(metadata={"shmastra_workspace": str(workspace_id)}), **self._api_options()
            )
            for found in await pages.next_items():
                if found.metadata.get("shmastra_workspace") == str(workspace_id):
                    return found.sandbox_id
        return None

    async def create(self, workspace_id: UUID, once: str) -> Running:
        """Make a sandbox from the template; the same ``once`` never makes two.

        Raises:
            TemplateMissing: the template is not there.
            EngineAway: the service failed.
        """
        try:
            async with translated():
                return _running(
                    await AsyncSandbox.create(
                        self.template,
                        timeout=self._lease_seconds,
                        metadata={"shmastra_workspace": str(workspace_id)},
                        network={
                            "allow_public_traffic": False,
                            "allow_out": self._egress,
                            "deny_out": ["0.0.0.0/0"],
                        },
                        lifecycle={"on_timeout": "pause", "auto_resume": False},
                        idempotency_key=once,
                        **self._options,
                    )
                )
        except SandboxGone as error:
            raise TemplateMissing(
                f"The sandbox template {self.template!r} does not exist. `shmastra template build` makes it."
            ) from error

    async def connect(self, sandbox_id: str) -> Running:
        """Resume a sandbox where it is paused, and keep it for another while.

        Raises:
            SandboxGone: it does not exist any more.
            EngineAway: the service failed.
        """
        async with translated():
            return _running(
                await AsyncSandbox.connect(sandbox_id, timeout=self._lease_seconds, **self._options)
            )

    async def pause(self, sandbox_id: str) -> None:
        """Suspend a sandbox; one that is suspended already is left alone.

        Raises:
            SandboxGone: it does not exist any more.
            EngineAway: the service failed.
        """
        async with translated():
            await AsyncSandbox.pause(sandbox_id, **self._api_options())

    async def kill(self, sandbox_id: str) -> None:
        """Destroy a sandbox and its files; one that is gone already is fine."""
        async with translated():
            await AsyncSandbox.kill(sandbox_id, **self._api_options())

    async def ping(self) -> None:
        """Ask the service for something small.

        Raises:
            EngineAway: it does not answer, or refuses the API key.
        """
        async with translated():
            await AsyncSandbox.list(limit=1, **self._api_options()).next_items()

    async def has_template(self) -> bool:
        """Tell whether the service has the template that new sandboxes start from.

        Raises:
            EngineAway: it does not answer, or refuses the API key.
        """
        async with translated():
            return await AsyncTemplate.exists(self.template, **self._api_options())

    async def start(self, running: Running, env: str) -> None:
        """Write ``.env`` and (re)start the dev server and the healer.

        Raises:
            StartFailed: the start command failed.
        """
        try:
            async with translated():
                await running.sandbox.files.write(f"{PROJECT}/.env", env)
                await running.sandbox.commands.run(START, timeout=START_SECONDS)
        except EngineAway as error:
            raise StartFailed(f"The start command in the sandbox failed: {error}") from error

    async def is_healthy(self, sandbox_id: str, host: str | None, traffic_token: str | None) -> bool:
        """Ask the dev server once."""
        headers = as_text(self._dial.headers(sandbox_id, traffic_token))
        try:
            answer = await self._http.get(self._dial.url(sandbox_id, host, "/health"), headers=headers)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def log_tail(self, running: Running) -> str:
        """Return the end of the dev server's log, for the page of a workspace that did not start."""
        try:
            async with translated():
                text = await running.sandbox.files.read(f"{PROJECT}/.logs/shmastra.log")
        except (EngineAway, SandboxGone):
            return ""
        return text[-LOG_TAIL_BYTES:]

    def _api_options(self) -> dict[str, Any]:
        return {name: value for name, value in self._options.items() if name != "sandbox_url"}


def _running(sandbox: AsyncSandbox) -> Running:
    return Running(sandbox, sandbox.sandbox_id, sandbox.sandbox_domain, sandbox.traffic_access_token)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn the SDK's errors into ours, without what might hold a key."""
    try:
        yield
    except (NotFoundException, SandboxNotFoundException) as error:
        raise SandboxGone(str(error)) from error
    except AuthenticationException as error:
        raise EngineAway("The sandbox service refuses the API key (E2B_API_KEY).") from error
    except SandboxException as error:
        raise EngineAway(f"{type(error).__name__}: {str(error)[:300]}") from error
    except (httpx.HTTPError, OSError) as error:
        raise EngineAway(f"The sandbox service does not answer ({type(error).__name__}).") from error
