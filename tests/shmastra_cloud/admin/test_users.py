from typing import Any

import httpx
from tests.doubles.engine import Works
from tests.shmastra_cloud.admin.conftest import Elsewhere, administering
from tests.support.mail_server import mail_server

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users, spend_link
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.smtp_server import parse_server
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


def smtp(port: int) -> dict[str, Any]:
    return {"smtp": parse_server(f"smtp://127.0.0.1:{port}", "team@example.com")}


async def test_links_are_mailed_where_mail_is_configured_and_wanted(
    pool: Pool, vault: Vault, engine: Works
) -> None:
    async with mail_server() as box, administering(pool, vault, engine, **smtp(box.port)) as admin:
        invited = (await admin.post("/users", json={"email": "ann@example.com"})).json()
        assert invited["mailed"] is True
        text = box.mails[0].get_body(("plain",))
        assert text is not None
        assert invited["url"] in text.get_content()
        assert box.mails[0]["Subject"] == "You are invited to Shmastra Cloud"
        again = (await admin.post("/users/ann@example.com/link")).json()
        assert again["url"] != invited["url"]
        assert box.mails[1]["Subject"] == "Sign in to Shmastra Cloud"
        for path in ("/users", "/users/ann@example.com/link"):
            quiet = await admin.post(path, json={"email": "ann@example.com", "mail": False})
            assert set(quiet.json()) == {"email", "url", "expires_at"}
        assert len(box.mails) == 2
        box.recipient_answers = ["550 Never"]
        refused = (await admin.post("/users/ann@example.com/link")).json()
        assert (refused["mailed"], "answer 550" in refused["mail_error"]) == (False, True)
        assert await spend_link(pool, refused["url"].rsplit("/", 1)[1])  # the link is good all the same


async def test_with_a_provider_a_link_is_for_an_admin_in_an_emergency_and_made_on_the_machine(
    pool: Pool, vault: Vault, engine: Works
) -> None:
    async with mail_server() as box:
        settings = {"sign_in": "workos", **smtp(box.port)}
        async with (
            administering(pool, vault, engine, **settings) as machine,
            administering(pool, vault, engine, Elsewhere, **settings) as elsewhere,
        ):
            invited = (await elsewhere.post("/users", json={"email": "bob@example.com"})).json()
            assert (invited["url"], invited["expires_at"]) == ("http://127.0.0.1:3000", None)
            text = box.mails[0].get_body(("plain",))
            assert text is not None
            assert "/login/link/" not in text.get_content()
            await machine.post("/users", json={"email": "ann@example.com", "admin": True, "mail": False})
            for client, email in ((elsewhere, "ann"), (elsewhere, "bob"), (machine, "bob")):
                refused = await client.post(f"/users/{email}@example.com/link")
                assert (refused.status_code, refused.json()["code"]) == (409, "sign_in_elsewhere")
            link = (await machine.post("/users/ann@example.com/link")).json()
            assert await spend_link(pool, link["url"].rsplit("/", 1)[1], only_admins=True)
            assert len(box.mails) == 1  # that one is never mailed
    assert await pool.fetchval("select count(*) from audit_log where action = 'user.link'") == 1


async def test_the_last_admin_is_shut_out_on_the_machine_only(
    pool: Pool, vault: Vault, engine: Works
) -> None:
    await Users(pool, vault).invite("ann@example.com", admin=True)
    async with (
        administering(pool, vault, engine) as machine,
        administering(pool, vault, engine, Elsewhere) as elsewhere,
    ):
        for word in ("disable", "remove"):
            refused = await elsewhere.post(f"/users/ann@example.com/{word}")
            assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
        assert await pool.fetchval("select disabled_at is null from users")
        assert (await machine.post("/users/ann@example.com/disable")).status_code == 200
