import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.shmastra_cloud.telemetry.rows import USER, row

from shmastra_cloud.gateway import InvalidKey
from shmastra_cloud.telemetry.counts import Counts
from shmastra_cloud.telemetry.exposition import Exposition, State

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"
STATE = State(
    connections={"in_use": 3, "idle": 1},
    keys={"known": 7, "unknown": 0},
    rows_queued=2,
    database=True,
    sandboxes={"ready": 4, "paused": 2},
)


@pytest.fixture
def text() -> str:
    counts = Counts()
    counts.record(row())
    counts.record(
        row(model="gpt-5", purpose="healer", ended="cut", ttfb_ms=None, duration_ms=400_000, cost=None)
    )
    counts.record(row(provider="anthropic", model=None, status=502, input_tokens=0, output_tokens=0))
    counts.refused("openai", InvalidKey("no"))
    counts.open = 5
    return Exposition(counts, STATE).text().decode()


def values(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [f"{name}={value}" for name, value in sorted(sample.labels.items())]
            found[" ".join([sample.name, *labels])] = sample.value
    return found


def test_prometheus_own_parser_reads_what_was_counted(text: str) -> None:
    found = values(text)
    for name, value in {
        "shmastra_gateway_calls_total ended=complete provider=openai purpose=agent status=2xx": 1,
        "shmastra_gateway_calls_total ended=cut provider=openai purpose=healer status=2xx": 1,
        "shmastra_gateway_calls_total ended=complete provider=anthropic purpose=agent status=5xx": 1,
        "shmastra_gateway_tokens_total kind=input model=gpt-5-mini provider=openai": 10,
        "shmastra_gateway_tokens_total kind=reasoning model=gpt-5 provider=openai": 1,
        "shmastra_gateway_calls_unpriced_total provider=openai": 1,
        "shmastra_gateway_cost_usd_total model=gpt-5-mini provider=openai purpose=agent": 0.00125,
        "shmastra_gateway_tokens_total kind=cache_write model=gpt-5-mini provider=openai": 3,
        "shmastra_gateway_calls_unpriced_total provider=anthropic": 0,
        "shmastra_gateway_refused_total provider=openai reason=invalid_api_key status=401": 1,
        "shmastra_gateway_first_byte_seconds_bucket le=0.025 provider=openai": 1,
        "shmastra_gateway_duration_seconds_bucket le=300 provider=openai": 1,
        "shmastra_gateway_duration_seconds_bucket le=+Inf provider=openai": 2,
        "shmastra_gateway_duration_seconds_sum provider=openai": 400.04,
        "shmastra_gateway_calls_open": 5,
        "shmastra_gateway_upstream_connections state=in_use": 3,
        "shmastra_gateway_keys_cached kind=known": 7,
        "shmastra_gateway_keys_degraded": 0,
        "shmastra_usage_rows_queued": 2,
        "shmastra_usage_rows_lost_total": 0,
        "shmastra_database_up": 1,
        "shmastra_notifications_connected": 0,
        "shmastra_sandboxes status=ready": 4,
    }.items():
        assert found[name] == value, name
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_nobody_and_no_key_is_named(text: str) -> None:
    assert str(USER) not in text
    assert not re.search(r"vk_|sk-|@", text)


def test_a_process_without_sandboxes_says_nothing_of_them() -> None:
    assert b"shmastra_sandboxes" not in Exposition(Counts(), State()).text()


def test_every_metric_is_explained_with_its_labels_and_no_other(text: str) -> None:
    there = {}
    for family in text_string_to_metric_families(text):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.startswith("process_"):
            there[name] = (family.type, labels)
    told = {}
    for line in PAGE.read_text().splitlines():
        match = re.match(r"\| `(shmastra_\w+)` \| (\w+) \| ([^|]*)\|", line)
        if match:
            assert match[1] not in told, f"{match[1]} is explained twice"
            told[match[1]] = (match[2], set(re.findall(r"`(\w+)`", match[3])))
    assert told == there
    assert "process_" in PAGE.read_text()
