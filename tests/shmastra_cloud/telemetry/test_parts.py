import subprocess
import sys
from typing import Any

import pytest
from tests.shmastra_cloud.asking import ask
from tests.shmastra_cloud.telemetry.rows import row

from shmastra_cloud.gateway import (
    BatchWriter,
    Gateway,
    InvalidKey,
    KeyCache,
    UsageRow,
    providers_from_env,
)
from shmastra_cloud.rim import send_json
from shmastra_cloud.settings import Settings, load_settings
from shmastra_cloud.telemetry import Telemetry, Watched
from shmastra_cloud.telemetry.database import Told
from shmastra_cloud.telemetry.parts import FanOut, is_true

TOKEN = "a-token-of-ours"


class Rows(list[UsageRow]):
    def record(self, row: UsageRow) -> None:
        self.append(row)


class Nowhere:
    async def lookup(self, _digest: bytes) -> None:
        return None

    async def answer(self) -> Told:
        return Told(up=True, sandboxes=None)

    connected = True


@pytest.fixture
def with_token(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SHMASTRA_METRICS_TOKEN", TOKEN)
    return load_settings()


def watched() -> Watched:
    async def write(_rows: Any) -> None:
        return

    nowhere: Any = Nowhere()
    keys, usage = KeyCache(nowhere), BatchWriter(write)
    usage.record(row())
    gateway = Gateway(providers_from_env({}), keys, usage, lambda _user: None)
    return Watched(gateway, keys, usage, nowhere, nowhere)


async def test_what_is_not_configured_is_not_there() -> None:
    telemetry = Telemetry(load_settings(), {}, {})
    sink = Rows()

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    assert telemetry.sink(sink) is sink
    assert telemetry.around(app) is app
    assert telemetry.refused is None
    assert telemetry.metrics(watched()) is None
    await telemetry.aclose()


@pytest.mark.parametrize(
    "environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}]
)
def test_nothing_is_loaded_where_nothing_is_configured(environ: dict[str, str]) -> None:
    script = (
        "import sys; from shmastra_cloud.telemetry import Telemetry;"
        "from shmastra_cloud.settings import load_settings;"
        f"Telemetry(load_settings(), {environ!r}, {{}}); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "shmastra_cloud" in loaded
    assert not {"prometheus_client", "opentelemetry", "requests", "google"} & loaded


async def test_with_a_token_calls_and_refusals_are_told(with_token: Settings) -> None:
    telemetry = Telemetry(with_token, {}, {})
    rows = Rows()
    telemetry.sink(rows).record(row())
    assert len(rows) == 1
    assert telemetry.refused is not None
    telemetry.refused("openai", InvalidKey("no"))
    metrics = telemetry.metrics(watched())
    assert metrics is not None
    text: list[bytes] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        text.append((await ask(metrics, "/metrics", authorization=f"Bearer {TOKEN}")).body)
        await send_json(send, 200, {})

    await ask(telemetry.around(app), "/")
    for line in (
        b"shmastra_gateway_calls_open 1.0",
        b'shmastra_gateway_refused_total{provider="openai",reason="invalid_api_key",status="401"} 1.0',
        b"shmastra_usage_rows_queued 1.0",
        b'shmastra_gateway_upstream_connections{state="in_use"} 0.0',
        b"shmastra_notifications_connected 1.0",
    ):
        assert line in text[0]
    assert (
        b"shmastra_gateway_calls_open 0.0"
        in (await ask(metrics, "/metrics", authorization=f"Bearer {TOKEN}")).body
    )


class Broken:
    def record(self, row: UsageRow) -> None:
        raise RuntimeError("a library's trouble")


def test_what_only_watches_cannot_fail_a_call(caplog: pytest.LogCaptureFixture) -> None:
    first, last = Rows(), Rows()
    FanOut(first, [Broken(), last]).record(row())
    assert (len(first), len(last)) == (1, 1)
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    ("value", "wanted"), [("true", True), ("True ", True), ("1", False), ("", False), ("false", False)]
)
def test_only_true_is_true(value: str, wanted: bool) -> None:
    assert is_true({"X": value}, "X") is wanted
    assert not is_true({}, "X")
