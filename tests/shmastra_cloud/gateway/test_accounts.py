"""The gateway between Composio's official client and a stand-in that gives the key's holder everything."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from composio_client import APIStatusError, AsyncComposio, PermissionDeniedError
from tests.doubles.composio import SECRET, Composio, account, sign_in
from tests.doubles.llm_provider import REAL_KEY
from tests.shmastra_cloud.gateway.test_app import Rows
from tests.shmastra_cloud.gateway.worlds import NoDatabase
from tests.shmastra_cloud.workspaces.test_relay import serving

from httprelay import Pool
from shmastra_cloud.gateway import Gateway, KeyCache, KeyOwner, Ownership, providers_from_env
from shmastra_cloud.gateway.accounts import REMEMBERED_SECONDS, Accounts
from shmastra_cloud.gateway.errors import NotOwned, OwnershipUnknown
from shmastra_cloud.identity import key_hash, new_virtual_key

ANN, BOB = uuid.uuid4(), uuid.uuid4()
KEYS = {user: new_virtual_key(user) for user in (ANN, BOB)}


class Keys:
    async def lookup(self, digest: bytes) -> KeyOwner | None:
        return next((KeyOwner(user) for user, key in KEYS.items() if key_hash(key) == digest), None)


@dataclass
class World:
    ann: AsyncComposio
    bob: AsyncComposio
    composio: Composio
    url: str

    def sent(self) -> Any:
        return self.composio.asked[-1][3]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    composio = Composio()
    for user in (ANN, BOB):
        composio.accounts[f"ca_{user.hex}"] = account(f"ca_{user.hex}", str(user))
    ownership = Ownership(NoDatabase(), again_seconds=0.01)
    writing = asyncio.create_task(ownership.run())
    async with serving(composio) as there:
        providers = providers_from_env({"COMPOSIO_BASE_URL": there, "COMPOSIO_API_KEY": REAL_KEY})
        gateway = Gateway(providers, KeyCache(Keys()), Rows(), lambda _user: None, ownership=ownership)
        async with serving(gateway) as url:
            base = f"{url}/api/gateway/composio"
            async with (
                AsyncComposio(api_key=KEYS[ANN], base_url=base, max_retries=0) as ann,
                AsyncComposio(api_key=KEYS[BOB], base_url=base, max_retries=0) as bob,
            ):
                yield World(ann, bob, composio, base)
        await gateway.aclose()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_a_tool_runs_as_the_keys_user_whoever_is_named(world: World) -> None:
    mine = f"ca_{ANN.hex}"
    for more in ({}, {"user_id": str(BOB)}, {"entity_id": str(BOB)}, {"connected_account_id": mine}):
        arguments = {"user_id": "of the tool's own", "connected_account_id": "the tool's"}
        await world.ann.tools.execute("GITHUB_GET", arguments=arguments, **more)
        sent = world.sent()
        assert (sent["user_id"], sent["arguments"]) == (str(ANN), arguments)
        assert "entity_id" not in sent
    for stolen in (f"ca_{BOB.hex}", "ca_unknown", "../x"):
        asked = len([one for one in world.composio.asked if one[0] == "POST"])
        with pytest.raises(PermissionDeniedError, match="not yours"):
            await world.ann.tools.execute("GITHUB_GET", connected_account_id=stolen)
        with pytest.raises(PermissionDeniedError, match="not yours"):
            await world.ann.tools.proxy(endpoint="/x", method="GET", connected_account_id=stolen)
        assert len([one for one in world.composio.asked if one[0] == "POST"]) == asked
    await world.ann.tools.proxy(endpoint="/x", method="GET", connected_account_id=mine)
    assert world.sent() == {"endpoint": "/x", "method": "GET", "connected_account_id": mine}
    for escaping in (
        world.ann.tools.proxy(endpoint="/x", method="GET"),
        world.ann.tools.execute("X", custom_auth_params={"base_url": "http://x", "parameters": []}),
    ):
        with pytest.raises(PermissionDeniedError):
            await escaping


async def test_a_user_sees_and_changes_only_his_accounts(world: World) -> None:
    mine, other = f"ca_{ANN.hex}", f"ca_{BOB.hex}"
    for heeds in (True, False):
        world.composio.heeds_users = heeds
        for users in (
            {},
            {"user_ids": [str(BOB)]},
            {"user_ids": [str(ANN), str(BOB)], "account_type": "ALL"},
        ):
            listed = await world.ann.connected_accounts.list(**users)
            assert [one.id for one in listed.items] == [mine]
            query = world.composio.asked[-1][2]
            assert query["user_ids"] == [str(ANN)]
            assert "account_type" not in query
    assert (await world.ann.connected_accounts.retrieve(mine)).user_id == str(ANN)
    await world.ann.connected_accounts.update_status(mine, enabled=False)
    accounts = world.ann.connected_accounts
    acl: Any = {"acl_config_for_shared": {"allow_all_users": True}}
    for refused in (
        accounts.retrieve(other),
        accounts.delete(other),
        accounts.patch(other, alias="x"),
        accounts.update_status(other, enabled=False),
        accounts.patch(mine, experimental=acl),
    ):
        with pytest.raises(PermissionDeniedError):
            await refused
    with pytest.warns(DeprecationWarning, match="deprecated"), pytest.raises(PermissionDeniedError):
        await accounts.refresh(other)
    assert set(world.composio.accounts) == {mine, other}
    await accounts.delete(mine)
    assert set(world.composio.accounts) == {other}


async def test_a_new_account_is_the_keys_users(world: World) -> None:
    made = await world.ann.connected_accounts.create(
        auth_config={"id": "ac_1"},
        connection={"user_id": str(BOB), "state": {"authScheme": "X"}},  # type: ignore[typeddict-item]
    )
    assert world.sent()["connection"]["user_id"] == str(ANN)
    link = await world.ann.link.create(auth_config_id="ac_1", user_id=str(BOB))
    assert world.sent() == {"auth_config_id": "ac_1", "user_id": str(ANN)}
    for name in (made.id, link.connected_account_id):
        assert (await world.ann.connected_accounts.retrieve(name)).user_id == str(ANN)
    shared: Any = {"account_type": "SHARED"}
    with pytest.raises(PermissionDeniedError):
        await world.ann.link.create(auth_config_id="ac_1", user_id=str(ANN), experimental=shared)


async def test_ways_to_sign_in_are_shown_without_secrets_and_made_once(world: World) -> None:
    world.composio.sign_ins.append(sign_in("github"))
    configs = world.ann.auth_configs
    listed = await configs.list(toolkit_slug="github")
    assert [one.id for one in listed.items] == ["ac_github"]
    one = await configs.retrieve("ac_github")
    managed: Any = {"type": "use_composio_managed_auth", "name": "evil", "credentials": {"scopes": ["all"]}}
    made = await configs.create(toolkit={"slug": "slack"}, auth_config=managed)
    assert made.auth_config.id == "ac_slack"
    assert SECRET not in f"{listed}{one}{made}"
    access = {"tools_for_connected_account_creation": []}
    assert world.sent() == {
        "toolkit": {"slug": "slack"},
        "auth_config": {"type": "use_composio_managed_auth", "tool_access_config": access},
    }
    custom: Any = {"type": "use_custom_auth", "auth_scheme": "OAUTH2", "credentials": {}}
    for refused in (
        configs.create(toolkit={"slug": "slack"}, auth_config=managed),
        configs.create(toolkit={"slug": "linear"}, auth_config=custom),
        configs.delete("ac_github"),
        configs.update("ac_github", type="default"),
        world.ann.trigger_instances.list_active(),
        world.ann.mcp.list(),
    ):
        with pytest.raises(PermissionDeniedError):
            await refused


async def test_a_session_acts_as_its_creator_and_is_nobody_elses(world: World) -> None:
    mine, other = f"ca_{ANN.hex}", f"ca_{BOB.hex}"
    sessions = world.ann.tool_router.session
    made = await sessions.create(user_id=str(BOB), connected_accounts={"github": [mine]})
    assert world.sent() == {"user_id": str(ANN), "connected_accounts": {"github": [mine]}}
    await sessions.execute(made.session_id, tool_slug="GITHUB_GET", account=mine)
    assert (await sessions.retrieve(made.session_id)).session_id == made.session_id
    for refused in (
        sessions.create(user_id=str(ANN), connected_accounts={"github": [other]}),
        sessions.execute(made.session_id, tool_slug="GITHUB_GET", account=other),
        world.bob.tool_router.session.retrieve(made.session_id),
        world.bob.tool_router.session.execute(made.session_id, tool_slug="GITHUB_GET"),
    ):
        with pytest.raises(PermissionDeniedError):
            await refused


@pytest.mark.parametrize(
    "body",
    [
        b'{"connected_account_id": "ca_%s", "connected_account_id": "ca_%s"}',
        b'{"connectedAccountId": "ca_%s", "x": "%s"}',
        b'{"Connected_Account_ID": ["ca_%s"], "x": "%s"}',
        b'{"connected_account_id": 5, "x": ["%s", "%s"]}',
        b'{"more": [{"connected_account_id": "ca_%s"}], "x": "%s"}',
    ],
)
async def test_an_account_cannot_be_named_past_the_check(world: World, body: bytes) -> None:
    url = f"{world.url}/api/v3/tools/execute/X"
    raw = body % (BOB.hex.encode(), ANN.hex.encode())
    async with httpx.AsyncClient() as http:
        answer = await http.post(url, headers={"x-api-key": KEYS[ANN]}, content=raw)
    assert answer.status_code in {400, 403}
    assert [one for one in world.composio.asked if one[0] == "POST"] == []


async def test_no_path_leads_around_the_look_up(world: World) -> None:
    async with httpx.AsyncClient() as http:
        for path in (f"connected%5Faccounts/ca_{BOB.hex}", f"connected_accounts/c%61_{BOB.hex}"):
            url = httpx.URL(world.url)
            url = url.copy_with(raw_path=f"{url.path}/api/v3/{path}".encode())
            answer = await http.get(url, headers={"x-api-key": KEYS[ANN]})
            assert answer.status_code in {400, 403}
            assert str(BOB) not in answer.text


async def test_composio_that_cannot_say_is_503_and_an_answer_of_another_form_is_not_shown(
    world: World,
) -> None:
    world.composio.status = 500
    with pytest.raises(APIStatusError) as unknown:
        await world.ann.connected_accounts.retrieve("ca_new")
    assert unknown.value.status_code == 503
    world.composio.status = 200
    world.composio._list = lambda query: [account("ca_1", str(BOB))]  # type: ignore[method-assign]
    with pytest.raises(APIStatusError) as odd:
        await world.ann.connected_accounts.list()
    assert odd.value.status_code == 502
    assert str(BOB) not in odd.value.response.text


async def test_an_owner_is_remembered_for_a_minute_within_a_bound() -> None:
    composio, now = Composio({f"ca_{n}": account(f"ca_{n}", "ann") for n in range(4)}), [0.0]
    pool = Pool()
    async with serving(composio) as there:
        provider = providers_from_env({"COMPOSIO_BASE_URL": there, "COMPOSIO_API_KEY": REAL_KEY})["composio"]
        accounts = Accounts(pool, bound=3, clock=lambda: now[0])
        for _ in range(2):
            await accounts.hold(provider, "ca_0", "ann")
            with pytest.raises(NotOwned):
                await accounts.hold(provider, "ca_0", "bob")
        assert len(composio.asked) == 1
        now[0] += REMEMBERED_SECONDS + 1
        for number in range(4):
            await accounts.hold(provider, f"ca_{number}", "ann")
        assert (len(composio.asked), len(accounts._known)) == (5, 3)
        composio.status = 429
        with pytest.raises(OwnershipUnknown):
            await accounts.hold(provider, "ca_0", "ann")
    with pytest.raises(OwnershipUnknown):
        await accounts.hold(provider, "ca_9", "ann")
    await pool.aclose()
