"""Whether a client takes what is sent, for less than uvicorn's own, which holds an event for everyone."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Makes the event that is waited for when somebody waits."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._is_writable: asyncio.Event | None = None

    async def drain(self) -> None:
        """Wait until the client takes more."""
        if not self.write_paused:
            return
        if self._is_writable is None:
            self._is_writable = asyncio.Event()
        await self._is_writable.wait()

    def pause_writing(self) -> None:
        """Have who sends wait."""
        self.write_paused = True
        if self._is_writable is not None:
            self._is_writable.clear()

    def resume_writing(self) -> None:
        """Let who waits go on."""
        self.write_paused = False
        if self._is_writable is not None:
            self._is_writable.set()
