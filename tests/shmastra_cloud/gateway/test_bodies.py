import json

import pytest

from shmastra_cloud.gateway.bodies import Body, inspect
from shmastra_cloud.gateway.errors import RefusedRequest, RouteRefused, TooLarge
from shmastra_cloud.gateway.routes import match, route_table

CHAT = match(route_table("openai"), b"/v1", "POST", b"/v1/chat/completions").route

RESPONSES = match(route_table("openai"), b"/v1", "POST", b"/v1/responses").route


def test_a_stream_is_asked_for_its_usage_and_what_else_it_says_is_kept() -> None:
    body = Body(b'{"model": "m", "stream": true, "x": [1]}', whole=True)
    inspect(body, CHAT, b"application/json")
    asked = json.loads(body.data)
    assert asked == {"model": "m", "stream": True, "x": [1], "stream_options": {"include_usage": True}}
    assert (body.model, body.adds_usage) == ("m", True)


def test_one_that_asks_itself_is_left_alone() -> None:
    raw = b'{"stream": true, "stream_options": {"include_usage": true}}'
    body = Body(raw, whole=True)
    inspect(body, CHAT, b"application/json")
    assert (body.data, body.adds_usage) == (raw, False)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b'"x"', b"[" * 100_000, '{"model":"m"}'.encode("utf-16"), b"1" * 9999]
)
def test_rubbish_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedRequest):
        inspect(Body(raw, whole=True), CHAT, b"application/json")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"background": true}',
        b'{"background": 1}',
        b'{"background": "true"}',
        b'{"Background": true}',
        rb'{"\u0062ackground": true}',
    ],
)
def test_what_escapes_the_meter_is_refused(raw: bytes) -> None:
    with pytest.raises(RouteRefused):
        inspect(Body(raw, whole=True), RESPONSES, b"application/json")


def test_a_background_that_is_none_is_let_through_but_not_one_in_two_ways() -> None:
    for raw in (b'{"background": false}', b'{"background": null}'):
        inspect(Body(raw, whole=True), RESPONSES, b"application/json")
    pictures = match(route_table("openai"), b"/v1", "POST", b"/v1/images/generations").route
    inspect(Body(b'{"background": "transparent"}', whole=True), pictures, b"application/json")
    twice = b'{"background": true, "background": false}'
    with pytest.raises(RefusedRequest):
        inspect(Body(twice, whole=True), RESPONSES, b"application/json")


def test_a_models_name_can_always_be_stored() -> None:
    body = Body(rb'{"model": "a\u0000b\ud800c"}', whole=True)
    inspect(body, CHAT, b"application/json")
    assert body.model == "a\ufffdb\ufffdc"


def test_what_is_too_long_to_read_is_refused_as_such() -> None:
    with pytest.raises(TooLarge):
        inspect(Body(b"{", whole=False), CHAT, b"application/json")


def test_what_changes_the_price_is_noted() -> None:
    body = Body(b'{"model": "gpt-5", "service_tier": "flex"}', whole=True)
    inspect(body, CHAT, b"application/json")
    assert body.asked.tier == "flex"
