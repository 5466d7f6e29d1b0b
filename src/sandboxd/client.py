"""The command line's way to the running daemon: its own API."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from sandboxd import address
from sandboxd.errors import EngineError, NoSuchSandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 60
HELD_SECONDS = 300
COPY_SECONDS = 600


class Client:
    """A client of one daemon."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url, self._api_key = url, api_key

    @classmethod
    def of(cls, data: Path) -> Client:
        """Return a client of the daemon of a data folder.

        Raises:
            EngineError: there is none, or its key cannot be read.
        """
        url = address.read(data)
        if url is None:
            raise EngineError(f"No sandboxd has served {data}. Start one, or name its folder with --data.")
        key = os.environ.get("SANDBOXD_API_KEY")
        try:
            return cls(url, key or (data / "api-key").read_text().strip())
        except OSError as error:
            raise EngineError(f"The daemon's key cannot be read ({error}); set SANDBOXD_API_KEY.") from error

    def sandboxes(self) -> list[dict[str, Any]]:
        """Return all sandboxes, newest first.

        Raises:
            EngineError: the daemon does not answer, or refuses.
        """
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            answer = self._ask("GET", "/v2/sandboxes", params={"nextToken": token})
            found += answer.json()
            token = answer.headers.get("x-next-token", "")
            if not token:
                return found

    def logs(self, sandbox_id: str) -> list[dict[str, Any]]:
        """Return what a sandbox's start said, a line each.

        Raises:
            EngineError: there is no such sandbox, or the daemon does not answer.
        """
        found: list[dict[str, Any]] = self._ask("GET", f"/sandboxes/{sandbox_id}/logs").json()["logs"]
        return found

    def kill(self, sandbox_id: str) -> None:
        """Delete a sandbox.

        Raises:
            EngineError: there is no such sandbox, or the daemon does not answer.
        """
        self._ask("DELETE", f"/sandboxes/{sandbox_id}")

    def copy_disk(self, sandbox_id: str) -> Path:
        """Have a sandbox's disk copied as it is now, and return where the copy is.

        Raises:
            EngineError: there is no such sandbox, no room, or the daemon does not answer.
        """
        return Path(self._ask("POST", f"/sandboxes/{sandbox_id}/copy", seconds=COPY_SECONDS).json()["path"])

    def execute(self, sandbox_id: str, command: Sequence[str]) -> int:
        """Run a program in a sandbox, pass on what it says, and return its status.

        Raises:
            EngineError: it could not be run.
        """
        from e2b import CommandExitException, Sandbox
        from e2b.exceptions import SandboxException

        self._ask("GET", f"/sandboxes/{sandbox_id}")
        try:
            sandbox = Sandbox.connect(
                sandbox_id,
                timeout=HELD_SECONDS,
                api_key=self._api_key,
                api_url=self._url,
                sandbox_url=self._url,
                validate_api_key=False,
            )
            done = sandbox.commands.run(
                shlex.join(command), timeout=0, on_stdout=_to(sys.stdout), on_stderr=_to(sys.stderr)
            )
        except CommandExitException as error:
            return error.exit_code if error.exit_code >= 0 else 1
        except SandboxException as error:
            raise EngineError(str(error)) from error
        return done.exit_code

    def _ask(self, method: str, path: str, seconds: float = SECONDS, **more: Any) -> httpx.Response:
        try:
            answer = httpx.request(
                method, f"{self._url}{path}", headers={"X-API-KEY": self._api_key}, timeout=seconds, **more
            )
        except httpx.HTTPError as error:
            raise EngineError(f"No sandboxd answers at {self._url}; `sandboxd serve` starts one.") from error
        if answer.status_code == 404:
            raise NoSuchSandbox(answer.json()["message"])
        if answer.is_error:
            raise EngineError(answer.json()["message"])
        return answer


def _to(stream: Any) -> Any:
    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return write
