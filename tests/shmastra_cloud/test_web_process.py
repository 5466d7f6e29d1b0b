from typing import Any

from tests.shmastra_cloud.asking import ask

from shmastra_cloud.rim import send_json
from shmastra_cloud.web_process import Asgi, Cloud, Dispatch


def named(name: str) -> Asgi:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send_json(send, 200, {"app": name})

    return app


async def test_the_path_as_it_was_sent_chooses() -> None:
    both = Dispatch({"/api/gateway/": named("gateway"), "/api/mastra/": named("relay")}, named("rest"))
    for path, app in {
        "/api/gateway/openai/v1/models": "gateway",
        "/api/mastra/agents": "relay",
        "/api/gateway": "rest",
        "/api%2Fgateway/openai": "rest",
        "/": "rest",
    }.items():
        assert (await ask(both, path)).json() == {"app": app}


async def test_a_websocket_is_the_gateways_whatever_its_path() -> None:
    asked: list[Any] = []

    async def gateway(scope: Any, _receive: Any, _send: Any) -> None:
        asked.append(scope["raw_path"])

    both = Dispatch({"/api/gateway/": gateway, "/api/mastra/": named("relay")}, named("rest"))
    nothing: Any = None
    for path in (b"/api/gateway/openai/v1/realtime", b"/api/mastra/x"):
        await both({"type": "websocket", "raw_path": path}, nothing, nothing)
    assert asked == [b"/api/gateway/openai/v1/realtime", b"/api/mastra/x"]


async def test_what_was_opened_last_is_closed_first() -> None:
    closed: list[str] = []

    def closing(name: str) -> Any:
        async def close() -> None:
            closed.append(name)

        return close

    await Cloud({}, [], [closing("pool"), closing("gateway")]).aclose()
    assert closed == ["gateway", "pool"]
