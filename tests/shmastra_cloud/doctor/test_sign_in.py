from collections.abc import Iterator

import pytest
from tests.doubles.workos import API_KEY, ENVIRONMENT, WorkOS, workos

from shmastra_cloud.doctor.sign_in import sign_in
from shmastra_cloud.settings import load_settings


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkOS]:
    with workos() as state:
        for name, value in {**ENVIRONMENT, "WORKOS_BASE_URL": state.url}.items():
            monkeypatch.setenv(name, value)
        yield state


async def test_one_time_links_need_nobody() -> None:
    assert (await sign_in(load_settings())).status == "ok"


async def test_each_thing_that_workos_refuses_is_named(
    double: WorkOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await sign_in(load_settings())
    assert (found.status, found.detail) == ("ok", "WorkOS, organization Acme (org_01OURS)")
    for name, value, words in (
        ("WORKOS_API_KEY", "sk_wrong", "refuses the API key"),
        ("WORKOS_ORGANIZATION_ID", "org_wrong", "does not know the organization"),
        ("WORKOS_CLIENT_ID", "client_wrong", "does not know the organization, or the client id"),
        ("WORKOS_BASE_URL", "http://127.0.0.1:1", "does not answer"),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            found = await sign_in(load_settings())
            assert found.status == "failed"
            assert words in found.detail
            assert name in found.fix
            assert API_KEY not in str(found)


async def test_a_missing_webhook_is_a_warning(double: WorkOS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKOS_WEBHOOK_SECRET")
    found = await sign_in(load_settings())
    assert found.status == "warning"
    assert "/webhooks/workos" in found.fix
