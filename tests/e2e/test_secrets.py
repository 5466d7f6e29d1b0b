"""Where a provider's key is on the machine itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doubles.llm_provider import REAL_KEY
from tests.support.cloud import RunningCloud

pytestmark = pytest.mark.engine


def test_only_web_and_the_supervisor_hold_a_providers_key(cloud: RunningCloud) -> None:
    holders = {
        name
        for name, pids in cloud.pids().items()
        for pid in pids
        if REAL_KEY.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    }
    assert holders == {"web"}
    assert len([name for name, pids in cloud.pids().items() if pids]) >= 4


def test_no_file_of_an_installation_holds_it(cloud: RunningCloud) -> None:
    for folder in ("logs", "run", "engine/sandboxes"):
        for file in (cloud.data / folder).rglob("*"):
            if file.is_file() and file.suffix != ".img":
                assert REAL_KEY.encode() not in file.read_bytes(), file
