from __future__ import annotations

from uuid import UUID

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.workspaces import Workspaces


@pytest.fixture
async def user_id(pool: Pool, vault: Vault) -> UUID:
    return await Users(pool, vault).invite("ann@example.com")


@pytest.fixture
def store(pool: Pool, vault: Vault) -> Workspaces:
    return Workspaces(pool, vault)
