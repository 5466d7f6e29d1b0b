import asyncio
from pathlib import Path

import asyncpg

from shmastra_cloud.secrets_at_rest import Holding, KeyFile, Vault
from shmastra_cloud.secrets_at_rest.holders import lacking

A, B = b"a" * 32, b"\xff" * 32


async def test_who_runs_without_a_key_is_known_until_he_ends(dsn: str, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "master.key")
    file.create()
    vault, wanted = Vault(*file.read(), file=file), Vault(B).fingerprint
    asking = await asyncpg.connect(dsn)
    process = await asyncpg.connect(dsn, server_settings={"application_name": "web"})
    stranger = await asyncpg.connect(dsn, server_settings={"application_name": "nameless"})
    await Holding(Vault(A, B))(stranger)
    holding = Holding(vault)
    await holding(process)
    assert await lacking(asking, wanted) == ["web"]
    file.add(B)
    await holding(process)
    assert await lacking(asking, wanted) == ["web"]  # it has not looked
    vault.reload()
    await holding(process)
    assert await lacking(asking, wanted) == []
    file.retire(wanted)
    vault.reload()
    await holding(process)
    assert await lacking(asking, wanted) == ["web"]
    await process.close()
    async with asyncio.timeout(5):
        while await lacking(asking, wanted):
            await asyncio.sleep(0.01)
    again = await asyncpg.connect(dsn)
    file.add(B)
    await holding(again)  # a new session: looked for again
    assert await lacking(asking, wanted) == []
    for one in (asking, stranger, again):
        await one.close()
