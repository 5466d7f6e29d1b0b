"""``GET`` and ``POST /files``: whole files, streamed into and out of the sandbox a piece at a time."""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import TYPE_CHECKING, Any

from connectrpc.errors import ConnectError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandboxd import pipes
from sandboxd.envd.forms import FormReader, WrongForm
from sandboxd.envd.reach import home_of, known, user_of, whatever_it_says

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from sandboxd.envd.helper import Call, Helper
    from sandboxd.envd.reach import Helpers

PIECE = 65536
START_SECONDS = 30
STALL_SECONDS = 120
METADATA = "x-metadata-"
MAX_METADATA_BYTES = 4096
STATUS = {
    "not_found": 404,
    "permission_denied": 403,
    "invalid_argument": 400,
    "unauthenticated": 401,
    "resource_exhausted": 507,
    "deadline_exceeded": 504,
}


class FileRoutes:
    """The two routes of one sandbox."""

    def __init__(self, helpers: Helpers) -> None:
        self._helpers = helpers

    async def read(self, request: Request) -> Response:
        """Answer with a file."""
        try:
            user = _user(request)
            download = await Download.start(
                await self._helpers.of(user), home_of(user), request.query_params.get("path", "")
            )
        except ConnectError as error:
            return _error(error)
        return StreamingResponse(
            download.pieces(),
            media_type="application/octet-stream",
            headers={"content-length": str(download.size)},
        )

    async def write(self, request: Request) -> Response:
        """Write one file from the body, or several from a form whose file names are their paths."""
        try:
            written = await self._written(request)
        except ConnectError as error:
            return _error(error)
        except (ValueError, WrongForm, zlib.error, ClientDisconnect) as error:
            return JSONResponse({"code": 400, "message": f"the upload cannot be read: {error}"}, 400)
        return JSONResponse([{"name": one["name"], "path": one["path"], "type": "file"} for one in written])

    async def _written(self, request: Request) -> list[dict[str, Any]]:
        user, metadata = _user(request), _metadata(request)
        helper, wanted = await self._helpers.of(user), request.query_params.get("path")
        written: list[dict[str, Any]] = []
        upload: Upload | None = None
        try:
            async for name, data in _pieces(request):
                if name is not None:
                    upload = await Upload.start(helper, home_of(user), wanted or name, metadata)
                elif data is not None and upload is not None:
                    await upload.write(data)
                elif upload is not None:
                    written.append(await upload.finish())
                    upload = None
        finally:
            if upload is not None:
                upload.close()
        return written


class Download:
    """One file on its way out."""

    def __init__(self, call: Call, source: int, size: int) -> None:
        self._call, self._source, self.size = call, source, size

    @classmethod
    async def start(cls, helper: Helper, home: str, path: str) -> Download:
        """Open a file.

        Raises:
            ConnectError: it cannot be read.
        """
        source, theirs = pipes.pipe()
        os.set_blocking(source, False)
        try:
            call = await helper.ask("read", [theirs], home=home, path=path)
        except BaseException:
            os.close(source)
            raise
        try:
            async with asyncio.timeout(START_SECONDS):
                told = await call.answer("ok")
            with whatever_it_says("a file"):
                return cls(call, source, _size(told["size"]))
        except BaseException:
            call.close()
            os.close(source)
            raise

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what is in it: as much as was promised, whatever becomes of the file meanwhile."""
        left = self.size
        try:
            while left > 0:
                async with asyncio.timeout(STALL_SECONDS):
                    piece = await pipes.read(self._source, min(PIECE, left))
                if not piece:
                    raise ConnectionError("a file became shorter while it was read")
                left -= len(piece)
                yield piece
        finally:
            os.close(self._source)
            self._call.close()


class Upload:
    """One file on its way in; it appears whole, or not at all."""

    def __init__(self, call: Call, target: int) -> None:
        self._call, self._target = call, target

    @classmethod
    async def start(cls, helper: Helper, home: str, path: str, metadata: dict[str, str]) -> Upload:
        """Begin to write a file.

        Raises:
            ConnectError: the sandbox takes no more.
        """
        theirs, target = pipes.pipe()
        os.set_blocking(target, False)
        try:
            call = await helper.ask("write", [theirs], home=home, path=path, metadata=metadata)
        except BaseException:
            os.close(target)
            raise
        return cls(call, target)

    async def write(self, data: bytes) -> None:
        """Write some more of it.

        Raises:
            ConnectError: it cannot be written.
        """
        for begin in range(0, len(data), PIECE):
            piece = data[begin : begin + PIECE]
            await self._send(len(piece).to_bytes(4, "big") + piece)

    async def finish(self) -> dict[str, Any]:
        """Put the file in its place, and describe it.

        Raises:
            ConnectError: it cannot be written.
        """
        await self._send(bytes(4))
        async with asyncio.timeout(STALL_SECONDS):
            told = await self._call.answer("ok")
        self.close()
        with whatever_it_says("a file"):
            return {"name": str(told["name"]), "path": str(told["path"])}

    def close(self) -> None:
        """Give it up, where it is not finished."""
        if self._target >= 0:
            os.close(self._target)
            self._target = -1
        self._call.close()

    async def _send(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await pipes.write(self._target, data)
        except BrokenPipeError:
            await self._call.answer("ok")  # which says why it was given up
            raise


def _size(told: Any) -> int:
    size = int(told)
    if size < 0:
        raise ValueError("a size is not negative")
    return size


def _user(request: Request) -> str:
    name = request.query_params.get("username")
    return known(name) if name else user_of(request.headers.get("authorization"))


def _metadata(request: Request) -> dict[str, str]:
    """Return what is to be kept with the files.

    Raises:
        ValueError: it is too much, or not printable ASCII.
    """
    given = {
        name[len(METADATA) :]: value
        for name, value in reversed(request.headers.items())
        if name.startswith(METADATA)
    }
    if any(not text.isascii() or not text.isprintable() for pair in given.items() for text in pair):
        raise ValueError("metadata must be printable ASCII")
    if sum(len(name) + len(value) for name, value in given.items()) > MAX_METADATA_BYTES:
        raise ValueError(f"metadata is longer than {MAX_METADATA_BYTES} bytes")
    return given


async def _pieces(request: Request) -> AsyncIterator[tuple[str | None, bytes | None]]:
    """Yield each file as its name, its pieces, and ``(None, None)`` at its end."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        yield request.query_params.get("path", ""), None
        async for piece in _plain(request):
            yield None, piece
        yield None, None
        return
    form = FormReader(kind)
    async for piece in _plain(request):
        for event in form.feed(piece):
            yield event
    form.finish()


async def _plain(request: Request) -> AsyncIterator[bytes]:
    """Yield a body as it was before it was packed."""
    if request.headers.get("content-encoding", "identity") != "gzip":
        async for piece in request.stream():
            yield piece
        return
    unpacker = zlib.decompressobj(31)
    async for piece in request.stream():
        packed = piece
        while packed:
            yield unpacker.decompress(packed, PIECE)
            packed = unpacker.unconsumed_tail
    yield unpacker.flush()
    if not unpacker.eof:
        raise ValueError("it ends before its end")


def _error(error: ConnectError) -> Response:
    status = STATUS.get(error.code.value, 500)
    return JSONResponse({"code": status, "message": error.message}, status)
