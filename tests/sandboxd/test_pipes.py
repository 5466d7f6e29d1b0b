import asyncio
import os

import pytest

from sandboxd import pipes


async def test_much_goes_through_whole_and_the_end_is_seen() -> None:
    source, target = pipes.pipe()
    os.set_blocking(source, False)
    os.set_blocking(target, False)
    writing = asyncio.create_task(pipes.write(target, b"x" * 1_000_000))
    got = 0
    while got < 1_000_000:
        got += len(await pipes.read(source, 65536))
    await writing
    stop = asyncio.Event()
    waiting = asyncio.create_task(pipes.read(source, 10, stop))
    await asyncio.sleep(0.01)
    os.write(target, b"last")
    stop.set()
    assert await waiting == b"last"
    assert await pipes.read(source, 10, stop) == b""
    os.close(source)
    with pytest.raises(BrokenPipeError):
        await pipes.write(target, b"x")
    os.close(target)
