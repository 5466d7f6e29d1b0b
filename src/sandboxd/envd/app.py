"""The ASGI application of one sandbox's envd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2b.envd.filesystem.filesystem_connect import FilesystemASGIApplication
from e2b.envd.process.process_connect import ProcessASGIApplication
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sandboxd.envd.files import FileRoutes
from sandboxd.envd.filesystem import FilesystemService
from sandboxd.envd.processes import ProcessService
from sandboxd.envd.reach import Helpers

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandboxd.envd.reach import Hands


class Envd:
    """The application; Connect services want the full path, so paths are told apart by prefix."""

    def __init__(self, hands: Hands) -> None:
        self._helpers = Helpers(hands)
        self._processes = ProcessService(hands, self._helpers)
        self._filesystem = FilesystemService(self._helpers)
        files = FileRoutes(self._helpers)
        self._rest = Starlette(
            routes=[
                Route("/health", _health),
                Route("/files", files.read, methods=["GET"]),
                Route("/files", files.write, methods=["POST"]),
            ]
        )
        self._services: dict[str, Any] = {
            "/process.Process": ProcessASGIApplication(self._processes),
            "/filesystem.Filesystem": FilesystemASGIApplication(self._filesystem),
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        service = scope["path"].rpartition("/")[0]
        await self._services.get(service, self._rest)(scope, receive, send)

    async def aclose(self) -> None:
        """End what follows programs and folders; the programs go on."""
        await self._helpers.aclose()
        await self._filesystem.aclose()
        await self._processes.aclose()


async def _health(_request: Request) -> Response:
    return Response(status_code=204)
