import httpx

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users, spend_link
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces


async def test_an_invitation_gives_a_link_that_works(admin: httpx.AsyncClient, pool: Pool) -> None:
    link = (await admin.post("/users", json={"email": "Ann@example.com", "admin": True})).json()
    assert set(link) == {"email", "url", "expires_at"}
    assert link["url"].startswith("http://127.0.0.1:3000/login/link/")
    assert await spend_link(pool, link["url"].rsplit("/", 1)[1])
    [row] = (await admin.get("/users")).json()
    assert (row["email"], row["role"], row["disabled_at"]) == ("ann@example.com", "admin", None)


async def test_who_does_not_exist_is_said_so(admin: httpx.AsyncClient) -> None:
    for word in ("link", "disable", "enable", "remove", "rotate-key"):
        answer = await admin.post(f"/users/no@one.com/{word}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_user")
    refused = await admin.post("/users", json={"email": "rub bish"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert "rub bish" not in refused.text


async def test_a_disabled_user_leaves_an_idle_sandbox_and_comes_back(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    user_id = await Users(pool, vault).invite("ann@example.com")
    store = Workspaces(pool, vault)
    await store.ensure(user_id)
    await pool.execute("update sandboxes set status = 'ready', env_version = 1")
    await store.keep_awake({user_id: "test"}, 600)
    assert await store.claim("worker") is None
    await admin.post("/users/ann@example.com/disable")
    assert (await admin.get("/users")).json()[0]["disabled_at"]
    idle = await store.claim("worker")
    assert idle is not None
    assert idle.idle
    await admin.post("/users/ann@example.com/enable")
    assert (await admin.get("/users")).json()[0]["disabled_at"] is None


async def test_a_removed_user_is_forgotten(admin: httpx.AsyncClient) -> None:
    await admin.post("/users", json={"email": "ann@example.com"})
    assert (await admin.post("/users/ann@example.com/rotate-key")).status_code == 200
    assert (await admin.post("/users/ann@example.com/remove")).status_code == 200
    assert (await admin.get("/users")).json() == []
