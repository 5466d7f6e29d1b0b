import uuid

import pytest

from shmastra_cloud.gateway.credentials import (
    headers_for_client,
    headers_for_provider,
    presented,
    query_for_provider,
)
from shmastra_cloud.gateway.errors import InvalidKey
from shmastra_cloud.identity import key_hash, new_virtual_key

KEY = new_virtual_key(uuid.uuid4()).encode()


def test_the_same_key_twice_is_one_key() -> None:
    found = presented([(b"x-api-key", KEY), (b"authorization", b"Bearer " + KEY)], b"key=" + KEY)
    assert found.hash == key_hash(KEY.decode())


def test_a_purpose_of_ours_is_noted_and_another_is_not() -> None:
    assert presented([(b"x-api-key", KEY), (b"x-shmastra-purpose", b"healer")], b"").purpose == "healer"
    assert presented([(b"x-api-key", KEY), (b"x-shmastra-purpose", b"free")], b"").purpose == "agent"


def test_what_is_no_key_is_refused() -> None:
    for value in (b"", b"vk_", b"sk-real", KEY + b"!", KEY.upper()):
        with pytest.raises(InvalidKey):
            presented([(b"x-api-key", value)], b"")


def test_nothing_that_carries_the_key_or_the_sender_goes_on() -> None:
    sent = headers_for_provider(
        [(b"cookie", b"a"), (b"x-forwarded-for", b"b"), (b"x-odd", b"c" + KEY), (b"accept", b"*/*")], KEY
    )
    assert sent == [(b"accept", b"*/*"), (b"accept-encoding", b"identity")]
    assert query_for_provider(b"alt=sse&key=x&%6bey=y&a=" + KEY, KEY) == b"alt=sse"


def test_nothing_of_the_account_comes_back() -> None:
    seen = headers_for_client(
        [(b"set-cookie", b"a"), (b"openai-organization", b"org"), (b"x", b"has sk-1"), (b"x-id", b"1")],
        (b"sk-1",),
    )
    assert (b"x-id", b"1") in seen
    assert not {b"set-cookie", b"openai-organization", b"x"} & {name for name, _ in seen}
