import httpx
import pytest
from e2b import Sandbox
from tests.sandboxd.conftest import Daemon

pytestmark = pytest.mark.engine


def test_health_is_open_and_the_rest_needs_the_token(daemon: Daemon, sandbox: Sandbox) -> None:
    headers = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49983"}
    assert httpx.get(f"{daemon.url}/health", headers=headers).status_code == 204
    for path in ("/files?path=/etc/hostname", "/process.Process/List", "/filesystem.Filesystem/Stat"):
        answer = httpx.post(f"{daemon.url}{path}", headers=headers, json={})
        assert answer.status_code == 401
