"""Clouds that several journeys share; each is started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.cloud import RunningCloud, running_cloud


@pytest.fixture(scope="session")
def keyless(request: pytest.FixtureRequest) -> Iterator[RunningCloud]:
    """A cloud without any provider's key: the demo model answers."""
    with running_cloud(name="keyless") as cloud:
        failed = request.session.testsfailed
        yield cloud
        if request.session.testsfailed > failed:
            cloud.keep_logs()
