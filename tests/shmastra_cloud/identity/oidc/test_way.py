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
    assert way.goodbye is not None
    ann = await users.invite("ann@example.com")
    assert await sessions.end(await sessions.start(ann)) is None
    cases = (
        (store.seal(Secret("https://id.example.com", "ann", id_token="a.b.c")), "/login/oidc/out?hint=a.b.c"),
        (store.seal(Secret("https://id.example.com", "ann", id_token="x" * 9000)), "/login/oidc/out"),
        (b"sealed by nobody", "/login/oidc/out"),
        (None, "/login/oidc/out"),
    )
    for sealed, place in cases:
        ended = await sessions.end(await sessions.start(ann, provided=Provided("oidc", secret=sealed)))
        assert ended is not None
        assert way.goodbye(ended) == place
    assert way.hooks == {"/login/oidc/backchannel"}
    for work in way.background:
        work.close()
    for close in way.closing:
        await close()
