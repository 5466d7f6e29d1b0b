"""The ASGI application of one sandbox's envd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from e2b.envd.filesystem.filesystem_connect import FilesystemASGIApplication
from e2b.envd.process.process_connect import ProcessASGIApplication
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sandboxd.envd.files import FileRoutes
from sandboxd.envd.filesystem import FilesystemService
from sandboxd.envd.processes import ProcessService

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request


class Hands(Protocol):
    """How to get into one sandbox."""

    @property
    def envs(self) -> Mapping[str, str]:
        """What every process is given."""

    def command(self, argv: Sequence[str], *, user: str, cwd: str, env: Mapping[str, str]) -> list[str]:
        """Return what to run on this machine so that ``argv`` runs inside."""

    async def signal(self, group: int, number: int) -> int:
        """Signal a process group by its number inside; return how many processes were reached."""

    def refused_processes(self) -> int:
        """Return how often the sandbox was refused one process more than its limit."""


def envd_app(hands: Hands) -> Any:
    """Return the application; Connect services want the full path, so paths are told apart by prefix."""
    processes: Any = ProcessASGIApplication(ProcessService(hands))
    filesystem: Any = FilesystemASGIApplication(FilesystemService(hands))
    files = FileRoutes(hands)
    rest = Starlette(
        routes=[
            Route("/health", _health),
            Route("/init", _health, methods=["POST"]),
            Route("/files", files.read, methods=["GET"]),
            Route("/files", files.write, methods=["POST"]),
        ]
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        chosen = (
            processes
            if path.startswith("/process.")
            else filesystem
            if path.startswith("/filesystem.")
            else rest
        )
        await chosen(scope, receive, send)

    return app


async def _health(_request: Request) -> Response:
    return Response(status_code=204)
