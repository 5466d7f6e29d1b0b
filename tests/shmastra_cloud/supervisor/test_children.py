import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from shmastra_cloud.supervisor import ChildFailed
from shmastra_cloud.supervisor.children import Child


def child(tmp_path: Path, program: str, marker: str = "up") -> Child:
    async def is_up() -> bool:
        return (tmp_path / marker).exists()

    argv = [sys.executable, "-c", program, str(tmp_path / marker)]
    return Child("thing", argv, dict(os.environ), tmp_path, is_up)


SLEEPER = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


async def test_a_killed_child_is_back(tmp_path: Path) -> None:
    thing = child(tmp_path, SLEEPER)
    await thing.start(20)
    assert thing.process is not None
    first = thing.process.pid
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(20):
        while thing.process.pid == first:
            await asyncio.sleep(0.02)
    await thing.stop(5)
    assert thing.process.returncode is not None


async def test_one_that_does_not_come_up_is_said_so_with_its_last_words(tmp_path: Path) -> None:
    thing = child(tmp_path, "raise SystemExit('no more disk')")
    with pytest.raises(ChildFailed, match="no more disk"):
        await thing.start(1)
    await thing.stop(1)


async def test_one_that_ends_again_and_again_is_not_waited_for(tmp_path: Path) -> None:
    thing = child(tmp_path, "raise SystemExit('a library is missing')")
    with pytest.raises(ChildFailed, match="ended 6 times.*a library is missing"):
        await thing.start(120)
    await thing.stop(1)


async def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
    thing = child(tmp_path, stubborn)
    await thing.start(20)
    await thing.stop(0.2)
    assert thing.process is not None
    assert thing.process.returncode == -signal.SIGKILL


async def test_a_child_ends_with_its_supervisor(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from tests.shmastra_cloud.supervisor.test_children import SLEEPER, child\n"
        "async def main():\n"
        "    thing = child(Path(sys.argv[1]), SLEEPER)\n"
        "    await thing.start(20)\n"
        "    print(thing.process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(__file__).parents[3])
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=root
    )
    assert supervisor.stdout is not None
    pid = int(await supervisor.stdout.readline())
    supervisor.kill()
    await supervisor.wait()
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            await asyncio.sleep(0.02)
