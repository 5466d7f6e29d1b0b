import pytest

from httprelay import Timeouts
from shmastra_cloud.gateway import BadConfiguration, further_names, key_variables, providers_from_env


def test_an_address_of_ones_own_is_taken_with_or_without_its_version() -> None:
    for url in ("http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1/", "http://10.0.0.5:8000"):
        provider = providers_from_env({"OPENAI_BASE_URL": url})["openai"]
        assert (provider.target.host, provider.target.port, provider.target.tls) == ("10.0.0.5", 8000, False)
        assert provider.base_path == b"/v1"


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "https://u:p@x/v1", "https://x/v1?k=1", "nonsense", "https://x/../v1"]
)
def test_an_unusable_address_is_named_by_its_variable(url: str) -> None:
    with pytest.raises(BadConfiguration, match="OPENAI_BASE_URL"):
        providers_from_env({"OPENAI_BASE_URL": url})


def test_several_keys_take_turns_and_never_show() -> None:
    provider = providers_from_env({"OPENAI_API_KEY": "sk-a, sk-b"})["openai"]
    lines = [provider.key_lines(provider.keys.take()) for _ in range(3)]
    assert [value for ((_, value),) in lines] == [b"Bearer sk-a", b"Bearer sk-b", b"Bearer sk-a"]
    assert "sk-" not in repr(provider)
    with pytest.raises(BadConfiguration, match="OPENAI_API_KEY"):
        providers_from_env({"OPENAI_API_KEY": "a\r\nb"})


@pytest.mark.parametrize(
    ("environ", "name", "where", "header"),
    [
        ({"GROQ_API_KEY": "k"}, "groq", (b"api.groq.com", b"/openai/v1"), (b"authorization", b"Bearer k")),
        ({"MISTRAL_API_KEY": "k"}, "mistral", (b"api.mistral.ai", b"/v1"), (b"authorization", b"Bearer k")),
        (
            {"OPENROUTER_API_KEY": "k"},
            "openrouter",
            (b"openrouter.ai", b"/api/v1"),
            (b"authorization", b"Bearer k"),
        ),
        (
            {
                "AZURE_OPENAI_API_KEY": "k",
                "AZURE_OPENAI_BASE_URL": "https://us.openai.azure.com/openai/v1",
            },
            "azure",
            (b"us.openai.azure.com", b"/openai/v1"),
            (b"api-key", b"k"),
        ),
        ({"VLLM_BASE_URL": "http://10.0.0.5:8000"}, "vllm", (b"10.0.0.5:8000", b"/v1"), None),
        (
            {"OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1", "OLLAMA_API_KEY": "k"},
            "ollama",
            (b"127.0.0.1:11434", b"/v1"),
            (b"authorization", b"Bearer k"),
        ),
        (
            {"SHMASTRA_PROVIDERS": "acme=https://llm.acme.io/api ACME_KEY", "ACME_KEY": "k"},
            "acme",
            (b"llm.acme.io", b"/api"),
            (b"authorization", b"Bearer k"),
        ),
        (
            {"SHMASTRA_PROVIDERS": "a=https://x A_KEY; lab=http://10.0.0.5:8000/v1"},
            "lab",
            (b"10.0.0.5:8000", b"/v1"),
            None,
        ),
    ],
)
def test_a_further_provider_is_switched_on_by_its_own_variable(
    environ: dict[str, str],
    name: str,
    where: tuple[bytes, bytes],
    header: tuple[bytes, bytes] | None,
) -> None:
    provider = providers_from_env(environ)[name]
    assert further_names(providers_from_env(environ)) == (name,)
    assert (provider.target.authority, provider.base_path) == where
    taken = provider.keys.take() if provider.keys else None
    assert provider.key_lines(taken) == ([header] if header else [])


@pytest.mark.parametrize(
    ("environ", "name", "variable"),
    [
        ({}, "groq", "GROQ_API_KEY"),
        ({}, "vllm", "VLLM_BASE_URL"),
        ({"VLLM_API_KEY": "k"}, "vllm", "VLLM_BASE_URL"),
        ({"AZURE_OPENAI_API_KEY": "k"}, "azure", "AZURE_OPENAI_API_KEY and AZURE_OPENAI_BASE_URL"),
        ({"SHMASTRA_PROVIDERS": "acme=https://llm.acme.io/v1 ACME_KEY"}, "acme", "ACME_KEY"),
    ],
)
def test_one_that_is_not_switched_on_names_what_does_it(
    environ: dict[str, str], name: str, variable: str
) -> None:
    provider = providers_from_env(environ)[name]
    assert not provider.configured
    assert provider.variable == variable


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OPENAI_BASE_URL": "http://10.0.0.5/v1", "OPENAI_API_KEY": "sk-1"}, "OPENAI_BASE_URL"),
        ({"VLLM_BASE_URL": "http://vllm:8000/v1", "VLLM_API_KEY": "sk-1"}, "VLLM_BASE_URL"),
        (
            {"SHMASTRA_PROVIDERS": "lab=http://lab.internal/v1 LAB_KEY", "LAB_KEY": "sk-1"},
            "SHMASTRA_PROVIDERS",
        ),
    ],
)
def test_a_key_does_not_cross_a_network_in_the_clear(environ: dict[str, str], named: str) -> None:
    with pytest.raises(BadConfiguration, match=named) as caught:
        providers_from_env(environ)
    assert "sk-1" not in str(caught.value)
    assert providers_from_env({**environ, "SHMASTRA_INSECURE_HTTP": "1"})


def test_the_variables_that_hold_real_keys_are_known() -> None:
    names = key_variables({"SHMASTRA_PROVIDERS": "acme=https://llm.acme.io/v1 ACME_KEY; lab=http://x/v1"})
    assert {"OPENAI_API_KEY", "GROQ_API_KEY", "AZURE_OPENAI_API_KEY", "ACME_KEY"} <= names
    assert "" not in names


def test_time_outs_and_routes_are_the_providers_own() -> None:
    environ = {
        "SHMASTRA_PROVIDER_TIMEOUTS": "openai=5/600/300",
        "SHMASTRA_GATEWAY_ALLOW": "openai: GET /files/*",
    }
    providers = providers_from_env(environ)
    assert providers["openai"].timeouts == Timeouts(5, 600, 300)
    assert providers["anthropic"].timeouts is None
    assert len(providers["openai"].routes.routes) > len(providers_from_env({})["openai"].routes.routes)
