import pytest
from tests.shmastra_cloud.gateway.worlds import MINE, Says, Scripted, openai_by

from shmastra_cloud.gateway.errors import GatewayError, KeysUnavailable, NotConfigured
from shmastra_cloud.gateway.refusals import refuse


async def test_an_error_says_what_it_is_whether_to_ask_again_and_when() -> None:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    await refuse(send, KeysUnavailable("later"), "anthropic")
    headers = dict(sent[0]["headers"])  # type: ignore[call-overload]
    assert (headers[b"x-shmastra-error"], headers[b"retry-after"]) == (b"keys_unavailable", b"2")
    assert b"x-should-retry" not in headers
    await refuse(send, NotConfigured("no"), "google")
    headers = dict(sent[2]["headers"])  # type: ignore[call-overload]
    assert (headers[b"x-shmastra-error"], headers[b"x-should-retry"]) == (
        b"provider_not_configured",
        b"false",
    )


def test_every_error_has_a_code_of_its_own() -> None:
    found, todo = [], [GatewayError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo += kind.__subclasses__()
    codes = [kind.code for kind in found if "code" in vars(kind)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "nobody/v1/models", 404, "unknown_provider"),
        ("POST", "catalog", 405, "method_not_allowed"),
        ("GET", "openai/v1/files", 403, "route_not_allowed"),
        ("POST", "openai/v1/chat/completions", 400, "invalid_request"),
        ("GET", "anthropic/v1/models", 503, "provider_not_configured"),
        ("GET", "openai//models", 400, "invalid_request"),
    ],
)
async def test_errors_of_ours_are_told_by_a_header(method: str, path: str, status: int, code: str) -> None:
    async with openai_by(Scripted()) as world:
        answer = await world.http.request(method, f"{world.url}/{path}", headers=MINE)
        assert (answer.status_code, answer.headers["x-shmastra-error"]) == (status, code)
        without = await world.http.get(f"{world.url}/openai/v1/models")
        assert (without.status_code, without.headers["x-shmastra-error"]) == (401, "invalid_api_key")


async def test_a_provider_cannot_pass_its_errors_off_as_ours() -> None:
    lies = {"x-shmastra-error": "invalid_api_key", "X-Shmastra-Budget": "1"}
    provider = Scripted(lambda _: Says(500, lies, b'{"error":{"message":"broken"}}'))
    async with openai_by(provider) as world:
        answer = await world.ask("openai/v1/models")
    assert answer.status_code == 500
    assert not [name for name in answer.headers if name.startswith("x-shmastra-")]
