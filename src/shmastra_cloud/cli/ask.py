"""Asking the cloud: on this machine over its admin socket, elsewhere over HTTPS with a token."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shmastra_cloud.cli.common import Failed, dsn, elsewhere, settings
from shmastra_cloud.cli.printing import plain
from shmastra_cloud.frames import BadFrame, FrameReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from shmastra_cloud.frames import Kind
    from shmastra_cloud.settings import Settings

SECONDS = 30
SLOW_SECONDS = 120  # what waits for a worker, or destroys a sandbox
SILENCE_SECONDS = 120  # a stream says something at least every 50 s
ORIGIN = "http://admin"


def ask(
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    direct: bool = False,
    seconds: float = SECONDS,
) -> Any:
    """Ask for something and return the answer; ``direct``: of the database, where no cloud runs here.

    Raises:
        Failed: nothing answers, or the answer is a refusal.
    """
    import httpx

    found = settings()
    try:
        with client(found, seconds) as http:
            answer = http.request(method, ORIGIN + path, json=body)
    except httpx.ConnectError as error:
        if elsewhere() is None and direct and found.database_url is not None and "Errno 13" not in str(error):
            answer = asyncio.run(_directly(found, method, path, body))
        else:
            raise away(found, error) from error
    except httpx.HTTPError as error:
        raise away(found, error) from error
    if answer.is_error:
        raise refusal(answer)
    return answer.json()


def named(*parts: str) -> str:
    """Return a path of these parts, none of which can become two."""
    return "".join("/" + quote(part, safe="@") for part in parts)


def client(found: Settings, seconds: float) -> httpx.Client:
    """Return a client that speaks to the admin's socket only, or to the cloud elsewhere that was named.

    Raises:
        Failed: nobody is logged in there.
    """
    import httpx  # late: most commands' time is what is loaded

    url = elsewhere()
    if url is not None:
        from shmastra_cloud.cli import credentials, remote

        url = credentials.address(url)
        there = remote.Elsewhere(url, remote.credential_for(url))
        return httpx.Client(transport=there, timeout=seconds, trust_env=False)
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(socket(found))), timeout=seconds, trust_env=False
    )


def socket(found: Settings) -> Path:
    """Return where the cloud listens for this command line."""
    return found.run / "admin.sock"


@contextmanager
def frames(
    method: str, path: str, body: dict[str, Any] | None = None
) -> Iterator[Iterator[tuple[Kind, bytes]]]:
    """Ask for a stream and give its frames as they come; leaving the block ends what sends them.

    Raises:
        Failed: nothing answers, the answer is a refusal, or the stream breaks.
    """
    import httpx

    found = settings()
    try:
        with client(found, SILENCE_SECONDS) as http, http.stream(method, ORIGIN + path, json=body) as answer:
            if answer.is_error:
                answer.read()
                raise refusal(answer)
            yield _frames(answer)
    except httpx.ConnectError as error:
        raise away(found, error) from error
    except (httpx.HTTPError, BadFrame) as error:
        raise Failed(
            f"The connection to the cloud broke ({type(error).__name__}). Does it still run?"
        ) from error


def _frames(answer: httpx.Response) -> Iterator[tuple[Kind, bytes]]:
    reader = FrameReader()
    for data in answer.iter_raw():
        yield from reader.feed(data)


async def _directly(found: Settings, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
    import httpx

    from shmastra_cloud.app import administration

    async with administration(found, dsn(found)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, timeout=SLOW_SECONDS) as http:
            return await http.request(method, ORIGIN + path, json=body)


def away(found: Settings, error: httpx.HTTPError) -> Failed:
    """Return why the cloud cannot be asked, with what to do about it."""
    import httpx

    url = elsewhere()
    if url is not None:
        from shmastra_cloud.cli import remote

        return remote.unreachable(url, error)
    if "Errno 13" in str(error):
        return Failed(
            f"{socket(found)} is closed to you. Run this as root or as the user who runs the cloud."
        )
    if isinstance(error, httpx.TimeoutException):
        return Failed("The cloud did not answer in time. DATA/logs/web.log may tell why; then try again.")
    return Failed(f"No cloud answers at {socket(found)}. Is it running? `shmastra up` starts it.")


def refusal(answer: httpx.Response) -> Failed:
    """Return what the cloud has refused, in its words."""
    try:
        said = answer.json()
        text, code = plain(said.get("error") or said.get("detail")), str(said.get("code"))
    except (ValueError, AttributeError):
        text, code = f"The cloud answered {answer.status_code}.", ""
    if elsewhere() is not None:
        from shmastra_cloud.cli import remote

        text += remote.versions(answer.headers)
    return Failed(text, code)
