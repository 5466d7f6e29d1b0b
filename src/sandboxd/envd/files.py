"""``GET`` and ``POST /files``: whole files, streamed into and out of the sandbox."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from connectrpc.errors import ConnectError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandboxd.envd.reach import PIECE, not_started, operate, outcome, start, user_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from sandboxd.envd.app import Hands

MAX_BYTES = 512 << 20
STATUS = {"not_found": 404, "permission_denied": 403, "invalid_argument": 400, "unauthenticated": 401}


class FileRoutes:
    """The two routes of one sandbox."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def read(self, request: Request) -> Response:
        """Answer with a file."""
        why = partial(not_started, self._hands, self._hands.refused_processes())
        try:
            process = await start(
                self._hands, _user(request), {"do": "read", "path": request.query_params.get("path", "")}
            )
            told = await outcome(process, why)
        except ConnectError as error:
            return _error(error)

        async def body() -> AsyncIterator[bytes]:
            try:
                while process.stdout is not None and (piece := await process.stdout.read(PIECE)):
                    yield piece
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

        return StreamingResponse(
            body(), media_type="application/octet-stream", headers={"content-length": str(told["size"])}
        )

    async def write(self, request: Request) -> Response:
        """Write one file from the body, or several from a form whose file names are their paths."""
        try:
            written = [await self._one(request, path, body) for path, body in await _parts(request)]
        except ConnectError as error:
            return _error(error)
        return JSONResponse([{"name": one["name"], "path": one["path"], "type": "file"} for one in written])

    async def _one(self, request: Request, path: str, body: AsyncIterator[bytes]) -> dict[str, Any]:
        done: dict[str, Any] = await operate(self._hands, _user(request), body, do="write", path=path)
        return done


def _user(request: Request) -> str:
    name = request.query_params.get("username")
    if name in ("user", "root"):
        return name
    return user_of(request.headers.get("authorization"))


async def _parts(request: Request) -> list[tuple[str, AsyncIterator[bytes]]]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    wanted = request.query_params.get("path")
    if kind != b"multipart/form-data":
        return [(wanted or "", request.stream())]
    found = await _form(request, options.get(b"boundary", b""))
    return [(wanted or name, _once(body)) for name, body in found]


async def _form(request: Request, boundary: bytes) -> list[tuple[str, bytes]]:
    """Read a form; its files are held in memory, up to a bound."""
    found: list[tuple[str, bytearray]] = []
    field, value = bytearray(), bytearray()

    def header_end() -> None:
        if bytes(field).lower() == b"content-disposition":
            _, disposition = parse_options_header(bytes(value))
            found.append((disposition.get(b"filename", b"").decode(errors="replace"), bytearray()))
        field.clear()
        value.clear()

    parser = MultipartParser(
        boundary,
        {
            "on_header_field": lambda data, begin, end: field.extend(data[begin:end]),
            "on_header_value": lambda data, begin, end: value.extend(data[begin:end]),
            "on_header_end": header_end,
            "on_part_data": lambda data, begin, end: found[-1][1].extend(data[begin:end]),
        },
        max_size=MAX_BYTES,
    )
    async for piece in request.stream():
        parser.write(piece)
    parser.finalize()
    return [(name, bytes(body)) for name, body in found if name]


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _error(error: ConnectError) -> Response:
    status = STATUS.get(error.code.value, 500)
    return JSONResponse({"code": status, "message": error.message}, status)
