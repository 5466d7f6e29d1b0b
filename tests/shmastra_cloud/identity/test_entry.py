import httpx
from fastapi import FastAPI, Request, Response

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Provided, Sessions, Users
from shmastra_cloud.identity.entry import enter
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


async def test_coming_in_ends_the_browsers_old_session_and_notes_where_from(pool: Pool, vault: Vault) -> None:
    user_id, sessions, app = await Users(pool, vault).invite("ann@example.com"), Sessions(pool), FastAPI()
    here = WebContext(load_settings(), pool, sessions)
    app.state.context = here

    @app.post("/in")
    async def come_in(request: Request) -> Response:
        return await enter(request, here, user_id, "/workspace", Provided("oidc", "sid-1", b"sealed", 60))

    fixed = await sessions.start(user_id)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", cookies={"shmastra_session": fixed}
    ) as browser:
        answer = await browser.post("/in", headers={"user-agent": "B" * 5000})
    assert (answer.status_code, answer.headers["location"]) == (303, "/workspace")
    assert await sessions.user(fixed) is None
    row = await pool.fetchrow("select * from sessions")
    assert row is not None
    assert (row["source"], row["provider_session"], bytes(row["provider_secret"])) == (
        "oidc",
        "sid-1",
        b"sealed",
    )
    assert row["check_after"] > row["created_at"]
    assert len(row["agent"]) == 200
    assert row["address"] == "127.0.0.1"
    assert await pool.fetchval("select count(*) from audit_log") == 0
    await pool.execute("update users set role = 'admin'")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as browser:
        await browser.post("/in")
    written = await pool.fetchrow("select * from audit_log")
    assert written is not None
    assert (written["action"], written["actor"], written["origin"]) == (
        "sign-in",
        "ann@example.com",
        "127.0.0.1",
    )
