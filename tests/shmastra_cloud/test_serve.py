import os
import socket

import pytest

from shmastra_cloud.serve import inherited_sockets, own_sockets
from shmastra_cloud.settings import load_settings


def test_sockets_of_the_supervisor_are_taken_by_name() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        found = inherited_sockets(f"tcp={os.dup(first.fileno())}")
        assert found["tcp"].getsockname() == first.getsockname()
        found["tcp"].close()
    assert inherited_sockets(None) == {}
    with pytest.raises(ValueError, match="SHMASTRA_LISTEN_FDS"):
        inherited_sockets("tcp=x")


def test_own_sockets_are_private(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SHMASTRA_PORT", str(free.getsockname()[1]))
    settings = load_settings()
    for _ in range(2):
        sockets = own_sockets(settings)
        for name in ("sandbox", "admin"):
            assert (settings.run / f"{name}.sock").stat().st_mode & 0o777 == 0o600
        for bound in sockets.values():
            bound.close()
