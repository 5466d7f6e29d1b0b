from pathlib import Path

import pytest

from shmastra_cloud.settings import load_settings
from shmastra_cloud.telemetry.counts import Counts, Refusal
from shmastra_cloud.telemetry.exposition import Exposition, State
from shmastra_cloud.telemetry.siblings import Siblings, merged, siblings_of


def told(sandboxes: int, *, calls: int) -> bytes:
    counts = Counts()
    counts.refusals[Refusal("openai", 401, "invalid_api_key")] = calls
    counts.open = calls
    return Exposition(counts, State(database=True, sandboxes={"ready": sandboxes})).text()


def test_each_sample_has_its_process_and_what_is_of_all_stands_once() -> None:
    text = merged(2, {1: told(5, calls=1), 2: told(7, calls=2), 3: None}).decode()
    lines = text.splitlines()
    assert 'shmastra_gateway_calls_open{process="1"} 1.0' in lines
    assert 'shmastra_gateway_calls_open{process="2"} 2.0' in lines
    refused = 'provider="openai",reason="invalid_api_key",status="401"'
    for process, count in (("1", 1.0), ("2", 2.0)):
        labels = f'process="{process}",{refused}'
        assert any(
            line.startswith("shmastra_gateway_refused_total")
            and set(labels.split(",")) <= set(line[31:].partition("}")[0].split(","))
            and line.endswith(f" {count}")
            for line in lines
        )
    assert 'shmastra_sandboxes{status="ready"} 7.0' in lines
    assert "ready" not in text.replace('shmastra_sandboxes{status="ready"} 7.0', "")
    assert [line for line in lines if line.startswith("shmastra_web_process_up")] == [
        'shmastra_web_process_up{process="1"} 1.0',
        'shmastra_web_process_up{process="2"} 1.0',
        'shmastra_web_process_up{process="3"} 0.0',
    ]
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


async def test_who_does_not_answer_is_left_out(tmp_path: Path) -> None:
    assert await Siblings(tmp_path, 1, 2).texts() == {2: None}


def test_a_process_that_is_alone_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert siblings_of(load_settings()) is None
    monkeypatch.setenv("SHMASTRA_WEB_NUMBER", "1")
    assert siblings_of(load_settings()) is None
    monkeypatch.setenv("SHMASTRA_WEB_WORKERS", "2")
    found = siblings_of(load_settings())
    assert found is not None
    assert (found.number, found.count) == (1, 2)
