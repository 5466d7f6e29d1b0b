from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.identity.choose import ways
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import load_settings


async def test_one_time_links_are_all_there_is_while_no_provider_is_configured(
    pool: Pool, vault: Vault
) -> None:
    assert ways(load_settings(), pool, vault, Users(pool, vault)) == ()
