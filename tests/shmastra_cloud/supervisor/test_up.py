import pwd
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from shmastra_cloud.supervisor import PortTaken, UpPlan
from shmastra_cloud.supervisor.up import _kept, _listen, _whoever_hears


async def _nothing(_dsn: str) -> None:
    return


def plan(data: Path, port: int) -> UpPlan:
    return UpPlan(data, "127.0.0.1", port, f"http://127.0.0.1:{port}", {}, _nothing, _nothing)


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket() as taken, ExitStack() as sockets:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"(?s){port}.*--port"):
            _listen(plan(tmp_path, port), None, sockets)


def test_sockets_for_sandboxes_and_admins_are_private(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for _ in range(2):
        with ExitStack() as sockets:
            found = _listen(plan(tmp_path, 0), None, sockets)
            assert set(found) == {"tcp", "sandbox", "admin"}
            for name in ("sandbox", "admin"):
                told = (tmp_path / "run" / f"{name}.sock").stat()
                assert stat.S_IMODE(told.st_mode) == 0o600
                assert pwd.getpwuid(told.st_uid)


def test_what_is_chosen_once_is_kept_privately(tmp_path: Path) -> None:
    assert _kept(tmp_path / "key", lambda: "one") == "one"
    assert _kept(tmp_path / "key", lambda: "two") == "one"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_where_nobody_reads_any_more_it_goes_on() -> None:
    def closed(_text: str) -> None:
        raise BrokenPipeError

    _whoever_hears(closed)("stopping")
