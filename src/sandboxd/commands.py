"""Programs of the system, run with a time-out and without a shell."""

from __future__ import annotations

import asyncio

from sandboxd.errors import CommandFailed

SECONDS = 60
SAID_BYTES = 400

# kept open in every program, so that a lock on it lasts until they have ended
inherited: list[int] = []


async def run(*argv: str, check: bool = True, seconds: float = SECONDS) -> str:
    """Run a program and return what it printed.

    Raises:
        CommandFailed: it ended with another status than 0 (with ``check``), or not in time.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=inherited,
    )
    try:
        async with asyncio.timeout(seconds):
            out, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise CommandFailed(f"{argv[0]} did not end within {seconds:.0f} s.") from error
    if check and process.returncode != 0:
        raise CommandFailed(f"{argv[0]} failed: {said.decode(errors='replace').strip()[-SAID_BYTES:]}")
    return out.decode(errors="replace")
