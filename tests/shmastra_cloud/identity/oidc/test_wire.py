from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.doubles.oidc import LyingProvider, lying_provider

from shmastra_cloud.identity.oidc import Config
from shmastra_cloud.identity.oidc.wire import ANSWER_BYTES, Bounded, Wire


@pytest.fixture(scope="module")
def liar() -> Iterator[LyingProvider]:
    with lying_provider() as made:
        yield made


async def get(url: str) -> httpx2.Response:
    async with httpx2.AsyncHTTPTransport() as shared, httpx2.AsyncClient(transport=Bounded(shared)) as client:
        return await client.get(url)


async def test_an_answer_is_read_up_to_its_bound(liar: LyingProvider) -> None:
    liar.answers["/x"] = b"x" * ANSWER_BYTES
    assert len((await get(f"{liar.issuer}/x")).content) == ANSWER_BYTES
    liar.answers["/x"] = b"x" * (ANSWER_BYTES + 1)
    with pytest.raises(httpx2.ReadError, match="too long"):
        await get(f"{liar.issuer}/x")


async def test_an_answer_that_could_swell_is_refused(liar: LyingProvider) -> None:
    liar.answers["/x"], liar.headers = gzip.compress(b"x" * 10_000_000), {"content-encoding": "gzip"}
    with pytest.raises(httpx2.ReadError, match="packed"):
        await get(f"{liar.issuer}/x")
    liar.headers = {}


async def test_the_id_and_the_secret_are_form_encoded_where_they_go_into_a_header() -> None:
    wire = Wire(Config("https://id", "a client", "s/+%:", "https://c", "ID"))
    basic: Any = wire.authentication("client_secret_basic")
    request = next(basic.auth_flow(httpx2.Request("POST", "https://id")))
    assert request.headers["authorization"] == httpx2.BasicAuth("a%20client", "s%2F%2B%25%3A")._auth_header
    await wire.aclose()


async def test_each_call_has_a_client_of_its_own_so_that_no_token_is_anothers() -> None:
    wire = Wire(Config("https://id", "c", "s", "https://c", "ID"))
    one, two = wire.client(), wire.client()
    one.token = {"access_token": "of ann"}
    assert two.token is None
    await wire.aclose()
