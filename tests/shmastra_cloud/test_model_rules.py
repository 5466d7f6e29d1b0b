import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import BadPattern
from shmastra_cloud.identity import UnknownUser, Users, key_hash
from shmastra_cloud.metering import KeysInDatabase
from shmastra_cloud.model_rules import rules_of, set_rules
from shmastra_cloud.secrets_at_rest import Vault


async def test_rules_are_kept_joined_and_removed(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    ann = await users.invite("ann@example.com")
    hashed = key_hash(await users.virtual_key(ann))
    keys = KeysInDatabase(pool)
    owner = await keys.lookup(hashed)
    assert owner is not None
    assert owner.models is None
    everyone = await set_rules(pool, None, ["anthropic/*", "!*/*-pro"])
    assert (everyone["email"], everyone["patterns"]) == (None, ["anthropic/*", "!*/*-pro"])
    for _ in range(2):
        mine = await set_rules(pool, "Ann@Example.com", ["openai/gpt-5*"])
    assert mine == {
        "email": "ann@example.com",
        "patterns": ["openai/gpt-5*"],
        "allowed": ["openai/gpt-5*"],
        "excluded": ["*/*-pro"],
    }
    owner = await keys.lookup(hashed)
    assert owner is not None
    assert str(owner.models) == "openai/gpt-5*, !*/*-pro"
    assert (await set_rules(pool, "ann@example.com", []))["allowed"] == ["anthropic/*"]
    assert (await set_rules(pool, None, []))["patterns"] == []
    assert (await rules_of(pool, "ann@example.com"))["allowed"] == []
    await set_rules(pool, "ann@example.com", ["*"])
    await users.remove("ann@example.com")
    assert await pool.fetchval("select count(*) from model_rules") == 0


async def test_who_or_what_does_not_exist_is_refused(pool: Pool) -> None:
    for wanted in (rules_of(pool, "no@one.com"), set_rules(pool, "no@one.com", [])):
        with pytest.raises(UnknownUser):
            await wanted
    with pytest.raises(BadPattern):
        await set_rules(pool, None, ["gpt-5"])
    assert (await rules_of(pool, None))["patterns"] == []
