import pytest

from shmastra_cloud.admin.callers import Callers
from shmastra_cloud.admin.gate import Refused
from shmastra_cloud.api_tokens import Tokens
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Sessions, Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings
from shmastra_cloud.web_context import WebContext


def scope(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"type": "http", "headers": list(headers), "client": ("10.0.0.1", 1)}


async def test_only_an_admins_session_is_let_in(pool: Pool, vault: Vault) -> None:
    sessions = Sessions(pool)
    callers = Callers(WebContext(load_settings(), pool, sessions), Tokens(pool))
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


async def test_a_token_is_let_in_by_itself_and_a_cookie_beside_it_counts_for_nothing(
    pool: Pool, vault: Vault
) -> None:
    sessions, tokens = Sessions(pool), Tokens(pool)
    callers = Callers(WebContext(load_settings(), pool, sessions), tokens)
    ann = await Users(pool, vault).invite("ann@example.com", admin=True)
    cookie = (b"cookie", f"shmastra_session={await sessions.start(ann)}".encode())
    for wrong in (b"Bearer sct_wrong", b"Basic eDp5", b"", b"Bearer"):
        with pytest.raises(Refused) as nobody:
            await callers(scope(cookie, (b"authorization", wrong)))
        assert (nobody.value.status, nobody.value.code) == (401, "bad_token")
    made = await tokens.make(ann, "laptop", 1)
    actor = await callers(scope((b"authorization", f"bearer {made.token}".encode())))
    assert (actor.kind, actor.name, actor.token, actor.origin) == (
        "token",
        "ann@example.com",
        "laptop",
        "10.0.0.1",
    )
