import pytest

from shmastra_cloud.doctor.cloud import check_stopped, providers, public_url
from shmastra_cloud.settings import load_settings


async def test_a_service_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_0123456789abcdef")
    monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("E2B_CONNECTION_RETRIES", "0")
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "https://agents.example.com")
    found = {check.name: check for check in await check_stopped(load_settings())}
    assert found["sandboxes"].status == "failed"
    assert "http://127.0.0.1:1" in found["sandboxes"].detail
    assert "0123456789abcdef" not in str(found)
    assert found["public_url"].status == "ok"


def test_providers_are_named_and_their_keys_are_not() -> None:
    settings = load_settings()
    found = providers(settings, {"OPENAI_API_KEY": "sk-secret", "COMPOSIO_API_KEY": "ck"})
    assert (found.status, found.detail) == ("ok", "openai, composio")
    assert providers(settings, {}).detail == "the demo model"
    assert providers(settings, {"COMPOSIO_API_KEY": "ck"}).detail == "composio, the demo model"
    assert providers(settings, {"GROQ_API_KEY": "k"}).detail == "groq"
    unsaid = providers(settings, {"VLLM_BASE_URL": "http://127.0.0.1:8000/v1"})
    assert (unsaid.status, unsaid.detail) == ("warning", "vllm, the demo model")
    assert "SHMASTRA_MODELS_GENERAL" in (unsaid.fix or "")
    broken = providers(settings, {"OPENAI_API_KEY": "sk secret"})
    assert (broken.status, "sk secret" in broken.detail) == ("failed", False)


def test_prices_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_PRICES", '{"vllm/*": {"input": -1, "output": 1}}')
    broken = providers(load_settings(), {"OPENAI_API_KEY": "k"})
    assert broken.status == "failed"
    assert "SHMASTRA_PRICES is wrong at vllm/* -> input" in broken.detail


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1:3000", "ok"),
        ("https://agents.example.com", "ok"),
        ("http://agents.example.com", "warning"),
    ],
)
def test_the_public_address_is_one_that_can_work(
    url: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", url)
    monkeypatch.setenv("SHMASTRA_INSECURE_HTTP", "1")
    assert public_url(load_settings()).status == status
