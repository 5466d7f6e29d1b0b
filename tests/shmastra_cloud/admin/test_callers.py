import pytest

from shmastra_cloud.admin.callers import Callers
from shmastra_cloud.admin.gate import Refused
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


def scope(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"type": "http", "headers": list(headers), "client": ("10.0.0.1", 1)}


async def test_only_an_admins_session_is_let_in(pool: Pool, vault: Vault) -> None:
    sessions = Sessions(pool)
    callers = Callers(WebContext(load_settings(), pool, sessions))
    for headers in ([], [(b"cookie", b"shmastra_session=rubbish")]):
        with pytest.raises(Refused) as nobody:
            await callers(scope(*headers))
        assert (nobody.value.status, nobody.value.code) == (401, "signed_out")
    ann = await Users(pool, vault).invite("ann@example.com")
    cookie = (b"cookie", f"shmastra_session={await sessions.start(ann)}".encode())
    with pytest.raises(Refused) as member:
        await callers(scope(cookie))
    assert (member.value.status, member.value.code) == (404, "not_found")
    await pool.execute("update users set role = 'admin'")
    sessions.forget()
    actor = await callers(scope(cookie))
    assert (actor.kind, actor.name, actor.id, actor.origin) == (
        "user",
        "ann@example.com",
        str(ann),
        "10.0.0.1",
    )
