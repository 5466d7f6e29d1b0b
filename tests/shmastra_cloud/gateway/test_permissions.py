import json
import uuid
from typing import Any

import pytest

from shmastra_cloud.gateway.bodies import MAX_READ_BYTES, Body
from shmastra_cloud.gateway.errors import ModelRefused, NotOwned, RefusedRequest, TooLarge
from shmastra_cloud.gateway.keys import KeyOwner
from shmastra_cloud.gateway.model_rule import ModelRule
from shmastra_cloud.gateway.permissions import gives_ids, hold_body, hold_ids, hold_path, read_limit
from shmastra_cloud.gateway.providers import providers_from_env
from shmastra_cloud.gateway.routes import match

PROVIDERS = providers_from_env({})
OPENAI = PROVIDERS["openai"].routes
FREE = KeyOwner(uuid.uuid4())
HELD = KeyOwner(uuid.uuid4(), ModelRule(("openai/gpt-5*", "google/gemini-*")))
FORM = b"multipart/form-data; boundary=b"


def ask(
    raw: bytes | dict[str, Any], path: str, owner: KeyOwner = HELD, kind: bytes = b"application/json"
) -> Body:
    name, _, rest = path.partition("/")
    provider = PROVIDERS[name]
    matched = match(provider.routes, provider.version, "POST", f"/{rest}".encode())
    body = Body(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), whole=True)
    hold_body(body, kind, provider, matched, owner)
    return body


def test_a_model_is_held_wherever_a_route_names_it() -> None:
    assert ask({"model": "gpt-5"}, "openai/v1/chat/completions").model == "gpt-5"
    ask({"contents": []}, "google/v1beta/models/gemini-x:generateContent")
    ask({"contents": []}, "gemini/v1beta/models/gemini-x:generateContent")
    for raw, path in (
        ({"model": "gpt-4"}, "openai/v1/chat/completions"),
        ({}, "openai/v1/embeddings"),
        ({"model": "claude"}, "anthropic/v1/messages"),
        ({"model": "claude"}, "anthropic/v1/messages/count_tokens"),
        ({"contents": []}, "google/v1beta/models/other:generateContent"),
        (
            {"generateContentRequest": {"model": "models/other"}},
            "google/v1beta/models/gemini-x:countTokens",
        ),
    ):
        with pytest.raises(ModelRefused):
            ask(raw, path)
        if raw:
            ask(raw, path, FREE)


def test_a_model_that_is_named_twice_is_refused_where_a_rule_is_in_force() -> None:
    raw = b'{"model": "gpt-4", "model": "gpt-5"}'
    with pytest.raises(RefusedRequest, match="twice"):
        ask(raw, "openai/v1/responses")
    ask(raw, "openai/v1/responses", FREE)


def test_a_form_is_read_whole_where_a_rule_is_in_force() -> None:
    path = "openai/v1/audio/transcriptions"
    field = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    good = f"--b\r\n{field.format('model', 'gpt-5-transcribe')}--b--".encode()
    assert ask(good, path, kind=FORM).model == "gpt-5-transcribe"
    for bad in (good.replace(b"gpt-5", b"gpt-4"), f"--b\r\n{field.format('x', '1')}--b--".encode()):
        with pytest.raises(ModelRefused):
            ask(bad, path, kind=FORM)
        ask(bad, path, FREE, kind=FORM)
    assert read_limit(FREE, FORM) == MAX_READ_BYTES == read_limit(HELD, b"application/json")
    assert read_limit(HELD, b"Multipart/Form-Data; boundary=b") > 25_000_000
    provider = PROVIDERS["openai"]
    with pytest.raises(TooLarge):
        hold_body(
            Body(good, whole=False),
            FORM,
            provider,
            match(OPENAI, b"/v1", "POST", b"/v1/" + path[10:].encode()),
            HELD,
        )


@pytest.mark.parametrize("kind", [FORM, b"application/x-www-form-urlencoded", b"Multipart/Mixed; boundary=b"])
def test_a_route_that_takes_json_takes_no_form(kind: bytes) -> None:
    with pytest.raises(RefusedRequest, match="application/json"):
        ask(b'{"model":"gpt-5","x":"&model=gpt-4&"}', "openai/v1/chat/completions", FREE, kind=kind)


def test_tools_know_no_models() -> None:
    ask({"user_id": str(HELD.user_id)}, "composio/api/v3/tools/execute/X")


class Owns:
    """Holds whatever it is asked about, and refuses the rest."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked = names, []  # type: ignore[var-annotated]

    async def hold(self, provider: str, field: str, name: str, user_id: uuid.UUID) -> None:
        self.asked.append((provider, field, name))
        if name not in self.names:
            raise NotOwned(field)


async def test_only_own_ids_pass_in_a_path_and_in_a_body() -> None:
    owned: Any = Owns("resp_1", "files/x")
    openai, google = PROVIDERS["openai"], PROVIDERS["google"]
    path = match(OPENAI, b"/v1", "GET", b"/v1/responses/resp_1")
    await hold_path(owned, openai, path, FREE)
    with pytest.raises(NotOwned, match="/responses/"):
        await hold_path(owned, openai, match(OPENAI, b"/v1", "GET", b"/v1/responses/resp_2"), FREE)
    body = ask(
        {"contents": [{"fileData": {"fileUri": "files/x"}}]}, "google/v1beta/models/gemini-x:countTokens"
    )
    await hold_ids(owned, body, google, FREE)
    assert owned.asked[-1] == ("google", "fileUri", "files/x")
    for wrong in ({"conversation": "conv_1"}, {"file_id": 5}):
        with pytest.raises(NotOwned):
            await hold_ids(owned, Body(b"", whole=True, fields=wrong), openai, FREE)
    with pytest.raises(NotOwned):
        await hold_path(None, openai, path, FREE)
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(RefusedRequest):
        await hold_ids(owned, Body(b"", whole=True, fields=deep), openai, FREE)


def test_an_answer_is_watched_only_where_it_may_give_an_id() -> None:
    responses, chat = (
        match(OPENAI, b"/v1", "POST", b"/v1/" + path) for path in (b"responses", b"chat/completions")
    )
    openai = PROVIDERS["openai"]
    assert gives_ids(Body(b"{}", whole=True), openai, responses)
    assert not gives_ids(Body(b"{}", whole=True, fields={"store": False}), openai, responses)
    assert gives_ids(
        Body(b'{"type": "code_interpreter"}', whole=True, fields={"store": False}), openai, responses
    )
    assert not gives_ids(Body(b"{}", whole=True), openai, chat)
    messages = match(PROVIDERS["anthropic"].routes, b"/v1", "POST", b"/v1/messages")
    assert gives_ids(
        Body(b'{"tools": [{"type": "code_execution_20250825"}]}', whole=True),
        PROVIDERS["anthropic"],
        messages,
    )
