import pytest
from tests.doubles.llm_provider import REAL_KEY, Provider
from tests.support.serving import served

from shmastra_cloud.doctor.keys import provider_keys


async def test_each_key_is_asked_for_and_none_is_shown() -> None:
    with served(Provider()) as here:
        environ = {
            "OPENAI_API_KEY": REAL_KEY,
            "OPENAI_BASE_URL": f"{here.url}/v1",
            "ANTHROPIC_API_KEY": f"sk-wrong-one, {REAL_KEY}",
            "ANTHROPIC_BASE_URL": f"{here.url}/v1",
            "GOOGLE_GENERATIVE_AI_API_KEY": REAL_KEY,
            "GOOGLE_GENERATIVE_AI_BASE_URL": f"{here.url}/v1beta",
            "VLLM_BASE_URL": "http://127.0.0.1:1/v1",
            "COMPOSIO_API_KEY": REAL_KEY,
            "COMPOSIO_BASE_URL": here.url,
        }
        found = {check.name: check for check in await provider_keys(environ)}
    assert {name: check.status for name, check in found.items()} == {
        "keys_openai": "ok",
        "keys_anthropic": "failed",
        "keys_google": "ok",
        "keys_vllm": "warning",
        "keys_composio": "ok",
    }
    assert found["keys_anthropic"].detail == "refused: key 1 of 2"
    assert "ANTHROPIC_API_KEY" in found["keys_anthropic"].fix
    assert not {REAL_KEY, "wrong-one"} & set(str(found).split())
    assert "sk-" not in str(found)


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": "a key with spaces"}])
async def test_without_keys_nobody_is_asked(environ: dict[str, str]) -> None:
    assert await provider_keys(environ) == []
