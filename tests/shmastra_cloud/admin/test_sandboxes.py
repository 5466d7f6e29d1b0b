import httpx
import pytest
from tests.doubles.engine import Works

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces


@pytest.fixture
async def store(pool: Pool, vault: Vault, engine: Works) -> Workspaces:
    found = Workspaces(pool, vault)
    row = await found.ensure(await Users(pool, vault).invite("ann@example.com"))
    made = await engine.create(row.id, "x")
    await pool.execute("update sandboxes set status = 'ready', env_version = 1, sandbox_id = $1", made.id)
    return found


@pytest.mark.usefixtures("store")
async def test_each_change_is_answered_with_the_status(admin: httpx.AsyncClient, engine: Works) -> None:
    for word, status in (
        ("pause", "paused"),
        ("resume", "ready"),
        ("restart", "provisioning"),
        ("reset", "provisioning"),
        ("delete", "deleted"),
    ):
        answer = await admin.post(f"/sandboxes/ann@example.com/{word}")
        assert (answer.status_code, answer.json()) == (200, {"status": status})
    assert engine.sandboxes == {}
    assert (await admin.get("/sandboxes")).json() == []


@pytest.mark.usefixtures("store")
async def test_what_cannot_be_is_refused_with_its_reason(admin: httpx.AsyncClient, pool: Pool) -> None:
    await pool.execute("update sandboxes set status = 'healing'")
    answer = await admin.post("/sandboxes/ann@example.com/pause")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")
    for path in ("/sandboxes/none", "/sandboxes/none/events"):
        assert (await admin.get(path)).json()["code"] == "unknown_sandbox"
    assert (await admin.get("/sandboxes/ann@example.com/events?limit=0")).status_code == 400
