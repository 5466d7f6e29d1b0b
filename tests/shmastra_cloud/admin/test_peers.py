import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.shmastra_cloud.webs import MASTER_KEY, web_process

ASK = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(b"GET /users HTTP/1.1\\r\\nhost: admin\\r\\n\\r\\n")
sys.stdout.buffer.write(peer.recv(4096))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="shmastra-peers-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def asked_by(uid: int, path: Path) -> bytes:
    command = ["/usr/bin/python3", "-c", ASK, str(path)]
    return subprocess.run(command, capture_output=True, user=uid, group=uid, cwd="/", check=True).stdout


def test_a_socket_that_anybody_may_open_still_serves_root_only(dsn: str, open_folder: Path) -> None:
    assert os.geteuid() == 0, "this test asks as another user, and needs root for it"
    with web_process(open_folder, DATABASE_URL=dsn, SHMASTRA_MASTER_KEY=MASTER_KEY) as web:
        path = web.data / "run" / "admin.sock"
        path.parent.chmod(0o755)
        path.chmod(0o777)
        refused = asked_by(65534, path)
        assert refused.startswith(b"HTTP/1.1 403")
        assert b"wrong_peer" in refused
        assert asked_by(0, path).startswith(b"HTTP/1.1 200")
        os.chown(path, 65534, 65534)
        assert asked_by(65534, path).startswith(b"HTTP/1.1 200")
        assert b"refused" in web.log.read_bytes()
