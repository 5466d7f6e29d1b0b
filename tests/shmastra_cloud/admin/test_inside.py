import httpx
import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.frames import FrameReader, Kind
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces, access


async def test_what_cannot_be_run_is_refused_before_a_sandbox_is_touched(admin: httpx.AsyncClient) -> None:
    path = "/sandboxes/ann@example.com/exec"
    for body in ({"argv": []}, {"argv": ["a\0b"]}, {"argv": "ls"}, {"argv": ["x" * (128 * 1024)]}, {}):
        assert (await admin.post(path, json=body)).status_code == 400
    assert (await admin.post(path, json={"argv": ["a\nb"]})).status_code == 404
    assert (await admin.get("/sandboxes/ann@example.com/logs/kernel")).status_code == 400


async def test_a_sandbox_that_is_not_there_yet_ends_the_stream_with_the_reason(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "PATIENCE_SECONDS", 0.3)
    await Workspaces(pool, vault).ensure(await Users(pool, vault).invite("ann@example.com"))
    answer = await admin.post("/sandboxes/ann@example.com/exec", json={"argv": ["ls"]})
    [(kind, reason)] = FrameReader().feed(answer.content)
    assert kind is Kind.FAILED
    assert b"provisioning" in reason
