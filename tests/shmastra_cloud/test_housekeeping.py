import asyncio

from shmastra_cloud.database import Pool
from shmastra_cloud.housekeeping import sweep
from shmastra_cloud.identity import Sessions, Users, make_link
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


async def test_what_has_expired_goes_and_what_has_not_stays(pool: Pool, vault: Vault) -> None:
    user_id, sessions = await Users(pool, vault).invite("ann@example.com"), Sessions(pool)
    here = WebContext(load_settings(), pool, sessions)
    token = await sessions.start(user_id)
    fresh, _ = await make_link(pool, user_id)
    await sessions.start(user_id)
    await pool.execute("update sessions set expires_at = now() where ctid = (select max(ctid) from sessions)")
    await make_link(pool, user_id)
    old = "select max(ctid) from login_links"
    await pool.execute(f"update login_links set expires_at = now() - interval '8 days' where ctid = ({old})")
    await here.attempts.failed("192.0.2.1")
    await pool.execute("update sign_in_attempts set minute = minute - interval '1 hour'")
    sweeping = asyncio.create_task(sweep(here, 0.02))
    async with asyncio.timeout(10):
        while await pool.fetchval("select count(*) from sessions") != 1:
            await asyncio.sleep(0.01)
        while await pool.fetchval("select count(*) from login_links") != 1:
            await asyncio.sleep(0.01)
        while await pool.fetchval("select count(*) from sign_in_attempts"):
            await asyncio.sleep(0.01)
    sweeping.cancel()
    assert await Sessions(pool).user(token)
    assert fresh
