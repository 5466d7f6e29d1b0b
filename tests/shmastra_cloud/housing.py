"""A user whose ready workspace is a real sandbox, for tests of what goes into sandboxes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from e2b import Sandbox
from tests.sandboxd.conftest import KEY, Daemon

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces

EMAIL = "ann@example.com"
ENV = "GREETING=\"hello 'world'\"\nUSER_ID=made-up\nEMPTY=\n# a comment\n1BAD=x\n"
SERVER = (
    "mkdir -p /tmp/h && touch /tmp/h/health && cd /tmp/h && exec python3 -m http.server 4111 >/dev/null 2>&1"
)


@dataclass
class House:
    """Who lives where."""

    user_id: UUID
    sandbox: Sandbox
    store: Workspaces


def engine_environment(daemon: Daemon) -> dict[str, str]:
    return {
        "SHMASTRA_ENGINE_URL": daemon.url,
        "SHMASTRA_ENGINE_KEY": KEY,
        "SHMASTRA_TEMPLATE": "base",
        "E2B_CONNECTION_RETRIES": "0",
    }


async def house(daemon: Daemon, pool: Pool, vault: Vault) -> House:
    user_id = await Users(pool, vault).invite(EMAIL)
    store = Workspaces(pool, vault)
    row = await store.ensure(user_id)
    network = {"allow_public_traffic": False}
    sandbox = await asyncio.to_thread(
        daemon.create, metadata={"shmastra_workspace": str(row.id)}, network=network
    )
    await asyncio.to_thread(sandbox.files.write, "/home/user/shmastra/.env", ENV)
    await asyncio.to_thread(sandbox.commands.run, SERVER, background=True, timeout=0)
    mine = await store.seize(user_id, "test")
    assert mine is not None
    await store.located(mine, sandbox.sandbox_id, None, sandbox.traffic_access_token)
    await store.move(mine, "ready", actor="test", reason="made by hand", env_version=1)
    await store.release(mine)
    await store.keep_awake({user_id: "test"}, 600)
    return House(user_id, sandbox, store)
