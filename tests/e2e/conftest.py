"""Clouds that several journeys share, each started once, and browsers to look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser
from tests.doubles.llm_provider import REAL_KEY, Provider
from tests.support.browser import Visit, chromium
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.serving import Served, served

REST_SECONDS = 0.25

Open = Callable[..., Visit]


@contextmanager
def logs_kept(request: pytest.FixtureRequest, cloud: RunningCloud) -> Iterator[None]:
    """Keep a cloud's logs where a test failed while it ran."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        cloud.keep_logs()


@pytest.fixture(scope="session")
def provider() -> Iterator[Served]:
    """The stand-in for every provider; put another double in its place for a while with ``app``."""
    with served(Provider(rest=REST_SECONDS)) as here:
        yield here


@pytest.fixture(scope="session")
def cloud(request: pytest.FixtureRequest, provider: Served) -> Iterator[RunningCloud]:
    """A cloud whose one provider is OpenAI."""
    environ = {"OPENAI_API_KEY": REAL_KEY, "OPENAI_BASE_URL": f"{provider.url}/v1"}
    with running_cloud(environ, name="openai") as here, logs_kept(request, here):
        yield here


@pytest.fixture(scope="session")
def keyless(request: pytest.FixtureRequest) -> Iterator[RunningCloud]:
    """A cloud that begins without any provider's key; who restarts it with one takes it away again."""
    with running_cloud(name="keyless") as here, logs_kept(request, here):
        yield here


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as here:
        yield here


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Open]:
    """Open browser profiles, which are thrown away after the test; a failed test's are pictured first."""
    opened: list[Visit] = []

    def make(url: str, **options: object) -> Visit:
        opened.append(Visit(browser, url, **options))  # type: ignore[arg-type]
        return opened[-1]

    failed = request.session.testsfailed
    yield make
    for number, one in enumerate(opened):
        if request.session.testsfailed > failed:
            one.shot(f"failed-{request.node.name}-{number}")
        one.close()
