import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Provided, Sessions, Users
from shmastra_cloud.identity.oidc.store import ProvidedSessions, Secret
from shmastra_cloud.identity.oidc.way import oidc_way
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings


async def test_signing_out_leads_on_for_sessions_of_the_provider_only(
    pool: Pool, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"OIDC_{name}", "https://id.example.com")
    users, sessions, store = Users(pool, vault), Sessions(pool), ProvidedSessions(pool, vault)
    way = oidc_way(load_settings(), pool, vault, users)
    assert way.leave is not None
    ann = await users.invite("ann@example.com")
    assert await way.leave(await sessions.start(ann)) is None
    assert await way.leave("x") is None
    for hint, place in (("a.b.c", "/login/oidc/out?hint=a.b.c"), ("x" * 9000, "/login/oidc/out")):
        sealed = store.seal(Secret("https://id.example.com", "ann", id_token=hint))
        assert await way.leave(await sessions.start(ann, provided=Provided("oidc", secret=sealed))) == place
    await pool.execute("update sessions set provider_secret = 'x' where provider_secret is not null")
    token = await sessions.start(ann, provided=Provided("oidc", secret=b"x"))
    assert await way.leave(token) == "/login/oidc/out"
    for work in way.background:
        work.close()
    for close in way.closing:
        await close()
