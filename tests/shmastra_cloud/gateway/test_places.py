import pytest

from shmastra_cloud.gateway.errors import BadConfiguration
from shmastra_cloud.gateway.places import Place, check_in_the_clear, keys, place


def at(url: str) -> Place:
    return place(url, "X_BASE_URL", example="https://x/v1", version=b"/v1")


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://api.x.ai/v1", b"api.x.ai", b"/v1"),
        (" https://api.x.ai ", b"api.x.ai", b"/v1"),
        ("http://[::1]:8000/a/b/", b"[::1]:8000", b"/a/b"),
    ],
)
def test_an_address_is_taken_apart(url: str, authority: bytes, path: bytes) -> None:
    assert (at(url).target.authority, at(url).path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/v1",
        "https://u:secret@x/v1",
        "https://x/v1?k=secret",
        "https://x/v1#a",
        "https://x:port/v1",
        "https:///v1",
        "https://x/../v1",
        "https://x/\u00e4",
        "x",
    ],
)
def test_an_unusable_one_is_named_by_its_setting_and_not_repeated(url: str) -> None:
    with pytest.raises(BadConfiguration, match="X_BASE_URL must be like https://x/v1") as caught:
        at(url)
    assert "secret" not in str(caught.value)


def test_keys_are_separated_by_commas() -> None:
    assert keys(" a, ,b ", "X_API_KEY") == ("a", "b")
    with pytest.raises(BadConfiguration, match="X_API_KEY") as caught:
        keys("sk-secret\r\nx: y", "X_API_KEY")
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://x/v1", "http://127.0.0.8:1/v1", "http://[::1]/v1", "http://localhost"]
)
def test_a_key_may_go_to_this_machine_or_under_tls(url: str) -> None:
    check_in_the_clear(at(url), "X_BASE_URL", {})


@pytest.mark.parametrize("url", ["http://10.0.0.5/v1", "http://localhost.evil.example", "http://[fe80::1]"])
def test_it_may_not_cross_a_network_unless_that_is_closed(url: str) -> None:
    with pytest.raises(BadConfiguration, match="X_BASE_URL is plain http"):
        check_in_the_clear(at(url), "X_BASE_URL", {"SHMASTRA_INSECURE_HTTP": "0"})
    check_in_the_clear(at(url), "X_BASE_URL", {"SHMASTRA_INSECURE_HTTP": "1"})
