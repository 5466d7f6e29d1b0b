import pytest

from shmastra_cloud.gateway import BadConfiguration, KeyPool, providers_from_env


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
    provider = providers_from_env({"OPENAI_API_KEY": "a, b"})["openai"]
    assert [provider.key_lines[1] for _ in range(3)] == [b"Bearer a", b"Bearer b", b"Bearer a"]
    assert "a" not in repr(KeyPool(("a",))).replace("KeyPool", "")
    with pytest.raises(BadConfiguration, match="OPENAI_API_KEY"):
        providers_from_env({"OPENAI_API_KEY": "a\r\nb"})
