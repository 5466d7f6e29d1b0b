from pathlib import Path

import pytest
from e2b import Sandbox
from tests.sandboxd.conftest import Daemon

from sandboxd import cgroups
from sandboxd.metrics import measure
from sandboxd.spec import Limits


async def test_what_is_used_is_told_with_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "shmastra" / "i1"
    group.mkdir(parents=True)
    (group / "cpu.stat").write_text("usage_usec 5000000\nuser_usec 1\n")
    (group / "memory.current").write_text("3000\n")
    (group / "memory.stat").write_text("anon 1\nfile 1000\n")
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    told = await measure("i1", tmp_path, Limits(memory_mb=1, cpus=2))
    assert (told["memUsed"], told["memCache"], told["memTotal"]) == (2000, 1000, 1 << 20)
    assert (told["cpuCount"], told["cpuUsedPct"]) == (2, 0)
    assert told["diskTotal"] > told["diskUsed"] > 0


@pytest.mark.engine
def test_a_busy_sandbox_shows_it(daemon: Daemon, sandbox: Sandbox) -> None:
    busy = sandbox.commands.run("while :; do :; done", background=True)
    [told] = sandbox.get_metrics()
    assert told.cpu_used_pct > 5
    assert told.mem_total == 256 << 20
    assert told.disk_total < 170 << 20
    assert sandbox.commands.kill(busy.pid)
    info = sandbox.get_info()
    assert (info.cpu_count, info.memory_mb) == (2, 256)
