"""The mixed traffic of the soak: what clients ask, how they leave, and what they must be answered."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from benchmarks.load import body, head, opened, whole
from benchmarks.stage import Server

ANSWER_SECONDS = 20
# Kinds of call that reach the provider, each of which ends as one row of usage.
METERED = ("plain", "streamed", "left", "provider error", "provider dropped", "provider cut")
_WEIGHTS = {
    "plain": 50,
    "streamed": 15,
    "left": 10,
    "provider error": 8,
    "provider dropped": 3,
    "provider cut": 3,
    "wrong key": 6,
    "unlisted route": 3,
    "not HTTP": 2,
}


class Client:
    """Calls one thing after the other, mostly on one connection, until its time is over."""

    def __init__(
        self, server: Server, at: int, met: Counter[str], surprises: list[str], pause: float
    ) -> None:
        self._server, self._met, self._surprises, self._pause = server, met, surprises, pause
        self._random = random.Random(at)
        self._at = at
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._do: dict[str, Callable[[], Awaitable[str]]] = {
            "plain": lambda: self._asked(body(), b"HTTP/1.1 200"),
            "streamed": self._streamed,
            "left": self._left,
            "provider error": lambda: self._asked(body("status-500"), b"HTTP/1.1 500"),
            "provider dropped": lambda: self._asked(body("drop"), b"HTTP/1.1 502"),
            "provider cut": self._cut,
            "wrong key": self._wrong_key,
            "unlisted route": self._unlisted,
            "not HTTP": self._nonsense,
        }

    async def run(self, end: float) -> None:
        """Go on until ``end`` on the loop's clock."""
        loop = asyncio.get_running_loop()
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        while loop.time() < end:
            kind = self._random.choices(kinds, weights)[0]
            self._met[kind] += 1
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    surprise = await self._do[kind]()
            except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is among them
                surprise = repr(error)
                self._hang_up()
            if surprise:
                self._surprises.append(f"{kind}: {surprise}"[:300])
            await asyncio.sleep(self._random.expovariate(1 / self._pause))
        self._hang_up()

    async def _asked(
        self, text: str, expected: bytes, *, key: str | None = None, path: str | None = None
    ) -> str:
        """Ask on the kept connection; return what was unexpected."""
        sent = head(self._server, key or self._random.choice(self._server.keys), text)
        if path is not None:
            sent = sent.replace(self._server.path.encode(), path.encode(), 1)
        answer = await self._exchanged(sent)
        first = answer.partition(b"\r\n\r\n")[0].lower()
        if b"\r\nconnection: close" in first:
            self._hang_up()
        return "" if answer.startswith(expected) else f"{answer[:200]!r}"

    async def _exchanged(self, sent: bytes) -> bytes:
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        assert self._reader is not None
        self._writer.write(sent)
        answer = b""
        while not whole(answer):
            data = await self._reader.read(65536)
            if not data:
                self._hang_up()
                break
            answer += data
        return answer

    async def _streamed(self) -> str:
        count = self._random.randint(5, 60)
        answer = await self._exchanged(self._stream(f"pace-10-{count}-soak"))
        return "" if answer.startswith(b"HTTP/1.1 200") and b"[DONE]" in answer else f"{answer[-200:]!r}"

    def _stream(self, user: str) -> bytes:
        return head(self._server, self._random.choice(self._server.keys), body(user, stream=True))

    async def _left(self) -> str:
        reader = await opened(self._server, self._random.randrange(1000), f"pace-10-0-left{self._at}")
        await asyncio.sleep(self._random.uniform(0, 0.5))
        reader.transport.abort()
        return ""

    async def _cut(self) -> str:
        """Expect an answer that is not whole, and no more on this connection."""
        answer = await self._exchanged(
            head(self._server, self._random.choice(self._server.keys), body("cut"))
        )
        complete = answer.startswith(b"HTTP/1.1 200") and whole(answer)
        return f"whole: {answer[:200]!r}" if complete else ""

    async def _wrong_key(self) -> str:
        return await self._asked(body(), b"HTTP/1.1 401", key=f"vk_{self._random.getrandbits(256):x}")

    async def _unlisted(self) -> str:
        return await self._asked(body(), b"HTTP/1.1 403", path="/api/gateway/openai/v1/files")

    async def _nonsense(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = await reader.read(65536)
        writer.close()
        return "" if answer.startswith(b"HTTP/1.1 400") else f"{answer[:200]!r}"

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
