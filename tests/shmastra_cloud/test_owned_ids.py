import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest
from tests.doubles.keeping_provider import Keeps
from tests.doubles.llm_provider import REAL_KEY
from tests.shmastra_cloud.gateway.test_app import Rows
from tests.shmastra_cloud.workspaces.test_relay import serving

from shmastra_cloud.database import Pool
from shmastra_cloud.gateway import Gateway, KeyCache, OwnedId, Ownership, providers_from_env
from shmastra_cloud.identity import Users
from shmastra_cloud.metering import KeysInDatabase
from shmastra_cloud.owned_ids import OwnedIdsInDatabase
from shmastra_cloud.secrets_at_rest import Vault

LATER = datetime.now(UTC) + timedelta(days=1)


async def test_an_id_keeps_its_first_owner_until_it_expires_or_he_is_removed(
    pool: Pool, vault: Vault
) -> None:
    users, kept = Users(pool, vault), OwnedIdsInDatabase(pool)
    ann, bob = await users.invite("ann@example.com"), await users.invite("bob@example.com")
    past = datetime.now(UTC) - timedelta(seconds=1)
    rows = [
        OwnedId("openai", "resp_1", ann, LATER),
        OwnedId("openai", "resp_old", ann, past),
        OwnedId("azure", "resp_1", bob, LATER),
        OwnedId("openai", "resp_2", uuid.uuid4(), LATER),  # removed meanwhile
    ]
    await kept.write(rows)
    await kept.write([*rows, OwnedId("openai", "resp_1", bob, LATER)])
    assert await kept.owner("openai", "resp_1") == ann
    assert await kept.owner("azure", "resp_1") == bob
    for gone in ("resp_old", "resp_2", "resp_3"):
        assert await kept.owner("openai", gone) is None
    assert await pool.fetchval("select count(*) from owned_ids") == 3
    await kept.prune()
    assert await pool.fetchval("select count(*) from owned_ids") == 2
    await users.remove("ann@example.com")
    assert await kept.owner("openai", "resp_1") is None


@dataclass
class Two:
    """A gateway process, two users' clients of it, and the provider behind."""

    ann: openai.AsyncOpenAI
    ann_elsewhere: openai.AsyncOpenAI
    bob: openai.AsyncOpenAI
    provider: Keeps


@asynccontextmanager
async def gateway(pool: Pool, provider_url: str) -> AsyncIterator[str]:
    there = providers_from_env({"OPENAI_BASE_URL": f"{provider_url}/v1", "OPENAI_API_KEY": REAL_KEY})
    ownership = Ownership(OwnedIdsInDatabase(pool), again_seconds=0.05)
    writing = asyncio.create_task(ownership.run())
    made = Gateway(there, KeyCache(KeysInDatabase(pool)), Rows(), lambda _user: None, ownership=ownership)
    try:
        async with serving(made) as url:
            yield f"{url}/api/gateway/openai/v1"
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await made.aclose()


@pytest.fixture
async def two(pool: Pool, vault: Vault) -> AsyncIterator[Two]:
    """Give Ann and Bob each a client, of two processes that share a database and a provider."""
    users, provider = Users(pool, vault), Keeps()
    keys = [await users.virtual_key(await users.invite(f"{name}@example.com")) for name in ("ann", "bob")]
    async with (
        serving(provider) as there,
        gateway(pool, there) as first,
        gateway(pool, there) as second,
        openai.AsyncOpenAI(api_key=keys[0], base_url=first, max_retries=0) as ann,
        openai.AsyncOpenAI(api_key=keys[1], base_url=second, max_retries=0) as bob,
        openai.AsyncOpenAI(api_key=keys[0], base_url=second, max_retries=0) as elsewhere,
    ):
        yield Two(ann, elsewhere, bob, provider)


async def test_a_response_is_its_creators_on_every_process_and_nobody_elses(two: Two, pool: Pool) -> None:
    whole = await two.ann.responses.create(model="gpt-5", input="hi")
    async with two.ann.responses.stream(model="gpt-5", input="hi") as stream:
        async for event in stream:
            if event.type == "response.created":
                assert await pool.fetchval("select count(*) from owned_ids") == 2  # before it is finished
        streamed = await stream.get_final_response()
    for name in (whole.id, streamed.id):
        for own in (two.ann, two.ann_elsewhere):
            assert (await own.responses.retrieve(name)).id == name
            await own.responses.create(model="gpt-5", input="on", previous_response_id=name)
            assert (await own.responses.input_items.list(name)).data == []
            assert (await own.responses.cancel(name)).id == name
        asked = len(two.provider.asked)
        for refused in (
            two.bob.responses.retrieve(name),
            two.bob.responses.retrieve("resp_unknown"),
            two.bob.responses.delete(name),
            two.bob.responses.cancel(name),
            two.bob.responses.input_items.list(name),
            two.bob.responses.create(model="gpt-5", input="on", previous_response_id=name),
            two.bob.responses.create(model="gpt-5", input="on", stream=True, previous_response_id=name),
        ):
            with pytest.raises(openai.PermissionDeniedError, match="you did not create") as error:
                await refused
            assert error.value.code == "not_yours"
        assert len(two.provider.asked) == asked


async def test_a_conversation_and_what_nobody_created_is_kept_apart_too(two: Two) -> None:
    made = await two.ann.conversations.create()
    assert (await two.ann.conversations.retrieve(made.id)).id == made.id
    await two.ann.conversations.items.list(made.id)
    await two.ann.responses.create(model="gpt-5", input="hi", conversation=made.id)
    await two.ann.responses.create(model="gpt-5", input="hi", conversation={"id": made.id})
    search: Any = [{"type": "file_search", "vector_store_ids": ["vs_1"]}]
    file: Any = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]
    for refused in (
        two.bob.conversations.retrieve(made.id),
        two.bob.conversations.items.list(made.id),
        two.bob.responses.create(model="gpt-5", input="hi", conversation=made.id),
        two.bob.responses.create(model="gpt-5", input="hi", conversation={"id": made.id}),
        two.bob.responses.create(model="gpt-5", input="hi", tools=search),
        two.bob.responses.create(model="gpt-5", input=file),
        two.bob.responses.create(prompt={"id": "pmpt_1"}),
    ):
        with pytest.raises(openai.PermissionDeniedError, match="you did not create"):
            await refused


async def test_what_is_not_stored_is_not_recorded(two: Two, pool: Pool) -> None:
    await two.ann.responses.create(model="gpt-5", input="hi", store=False)
    assert await pool.fetchval("select count(*) from owned_ids") == 0
