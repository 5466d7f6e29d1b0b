import os
import socket
from pathlib import Path

import pytest

from shmastra_cloud.listening import (
    SocketsTaken,
    held,
    inherited_sockets,
    listen,
    own_sockets,
    sockets_of,
    without_delay,
)
from shmastra_cloud.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SHMASTRA_PORT", str(free.getsockname()[1]))
    return load_settings()


def test_sockets_of_the_supervisor_are_taken_by_name() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        found = inherited_sockets({"SHMASTRA_LISTEN_FDS": f"tcp={os.dup(first.fileno())}"})
        assert found["tcp"].getsockname() == first.getsockname()
        found["tcp"].close()
    assert inherited_sockets({}) == {}
    with pytest.raises(ValueError, match="SHMASTRA_LISTEN_FDS"):
        inherited_sockets({"SHMASTRA_LISTEN_FDS": "tcp=x"})


def by_systemd(count: int, names: str, pid: int | None = None) -> dict[str, str]:
    pid = os.getpid() if pid is None else pid
    return {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}


def test_sockets_of_systemd_are_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(("127.0.0.1", 0))
        here = [os.dup(first.fileno()), os.dup(second.fileno())]
        if here[1] != here[0] + 1:  # they are passed on one after the other
            os.dup2(here[1], here[0] + 1)
        monkeypatch.setattr("shmastra_cloud.listening.FIRST_FD", here[0])
        assert inherited_sockets(by_systemd(2, "tcp:admin", os.getpid() + 1)) == {}
        found = inherited_sockets(by_systemd(2, "tcp:admin"))
        assert found["tcp"].getsockname() == first.getsockname()
        assert found["admin"].family == socket.AF_UNIX
        for one in found.values():
            one.close()
    for names in ("tcp", "tcp:tcp", "tcp:unknown"):
        with pytest.raises(ValueError, match="FileDescriptorName"):
            inherited_sockets(by_systemd(2, names))


def test_own_sockets_are_private_and_replace_what_was_left(settings: Settings) -> None:
    for _ in range(2):
        sockets = own_sockets(settings)
        for name in ("sandbox", "admin"):
            assert (settings.run / f"{name}.sock").stat().st_mode & 0o777 == 0o600
        listen(sockets.values())
        with pytest.raises(OSError, match="cannot be used .* SHMASTRA_PORT"):
            own_sockets(settings)
        for bound in sockets.values():
            bound.close()
    alone = own_sockets(settings, ())
    assert set(alone) == {"tcp"}
    alone["tcp"].close()


def test_one_process_at_a_time_serves_a_data_folder(settings: Settings) -> None:
    with held(settings), pytest.raises(SocketsTaken, match="SHMASTRA_WEB_WORKERS"), held(settings):
        pass
    with held(settings):
        pass


def test_a_head_is_sent_without_waiting_for_its_body(settings: Settings) -> None:
    sockets = own_sockets(settings)
    without_delay(sockets.values())
    assert sockets["tcp"].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for bound in sockets.values():
        bound.close()


def test_what_was_not_passed_on_is_bound_here(settings: Settings) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        passed_on = {"SHMASTRA_LISTEN_FDS": f"tcp={os.dup(port.fileno())}"}
        with sockets_of(settings, passed_on) as found:
            assert set(found) == {"tcp", "sandbox", "admin"}
            assert found["tcp"].getsockname() == port.getsockname()
            with pytest.raises(SocketsTaken), sockets_of(settings, {}):
                pass
    with sockets_of(settings, {}) as found:
        assert found["tcp"].getsockname()[1] == settings.port
    with sockets_of(settings, {}, ()) as found:
        assert set(found) == {"tcp"}
