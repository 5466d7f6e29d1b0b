from tests.shmastra_cloud.asking import ask

from shmastra_cloud.probes import Probes, nothing
from shmastra_cloud.readiness import Readiness


async def away() -> None:
    raise ConnectionRefusedError


async def test_health_asks_nobody_and_ready_asks_everybody() -> None:
    probes = Probes(nothing, Readiness({"database": away}))
    assert (await ask(probes, "/health")).json() == {"status": "ok"}
    ready = await ask(probes, "/ready")
    assert (ready.status, ready.json()) == (503, {"database": "does not answer"})


async def test_everything_else_is_passed_on() -> None:
    probes = Probes(nothing, Readiness({}))
    for path, method in (("/healthy", "GET"), ("/health/", "GET"), ("/health", "POST"), ("/", "GET")):
        answer = await ask(probes, path, method)
        assert (answer.status, answer.json()["code"]) == (404, "not_found")


async def test_a_load_balancer_asks_for_the_process_alone() -> None:
    probes = Probes(nothing, Readiness({"database": away}))
    ready = await ask(probes, "/ready?of=web")
    assert (ready.status, ready.json()) == (200, {"web": "ok"})
