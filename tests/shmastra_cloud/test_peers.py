from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmastra_cloud.peers import HOPS, UNIX, TrustedProxies, client_address, client_scheme
from shmastra_cloud.settings import load_settings

PROXIES = TrustedProxies.parse("10.0.0.0/8, 127.0.0.1 2001:db8::/32")


def asked(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> Any:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    client = None if peer is None else (peer, 4711)
    return {"type": "http", "client": client, "scheme": scheme, "headers": pairs}


def told(value: str, peer: str | None = "10.0.0.1", trusted: TrustedProxies = PROXIES) -> str:
    return client_address(asked(peer, ("x-forwarded-for", value)), trusted)


def told_anew(value: str) -> str:
    return client_address(asked("10.0.0.1", ("forwarded", value)), PROXIES)


def test_where_nobody_is_trusted_the_peer_is_the_client() -> None:
    nobody = TrustedProxies.parse("")
    assert not nobody
    assert told("1.2.3.4", trusted=nobody) == "10.0.0.1"
    assert told("1.2.3.4", peer=None, trusted=nobody) == UNIX


def test_a_peer_that_is_not_listed_is_the_client_whatever_it_says() -> None:
    assert told("1.2.3.4", peer="192.0.2.7") == "192.0.2.7"
    assert told("1.2.3.4", peer=None) == UNIX
    assert told("1.2.3.4", peer="no address") == "no address"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4, 10.9.9.9,127.0.0.1", "1.2.3.4"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db9::1]:443", "2001:db9::1"),
        ("2001:DB9:0:0::1", "2001:db9::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("1.2.3.4, 2001:db8::7", "1.2.3.4"),
        ("6.6.6.6, unknown", "10.0.0.1"),
        ("6.6.6.6, unknown, 10.2.2.2", "10.2.2.2"),
        ("6.6.6.6,", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("1.2.3.4:x", "10.0.0.1"),
        ("fe80::1%eth0", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
        ("1.2.3.4" + " " * 300, "10.0.0.1"),
        (", ".join(["6.6.6.6"] + ["10.3.3.3"] * HOPS), "10.3.3.3"),
        (", ".join(["1.2.3.4"] + ["10.3.3.3"] * (HOPS - 1)), "1.2.3.4"),
    ],
)
def test_the_rightmost_that_is_not_listed_is_the_client(value: str, client: str) -> None:
    assert told(value) == client


def test_lines_are_one_list_in_their_order() -> None:
    lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4, 10.2.2.2")]
    assert client_address(asked("10.0.0.1", *lines), PROXIES) == "1.2.3.4"
    many = [("x-forwarded-for", "6.6.6.6")] + [("x-forwarded-for", "10.3.3.3")] * HOPS
    assert client_address(asked("10.0.0.1", *many), PROXIES) == "10.3.3.3"


def test_a_unix_socket_is_believed_where_it_is_listed() -> None:
    assert told("1.2.3.4", peer=None, trusted=TrustedProxies.parse("unix")) == "1.2.3.4"
    assert told("nobody", peer=None, trusted=TrustedProxies.parse("unix")) == UNIX
    assert told("1.2.3.4", peer="10.0.0.1", trusted=TrustedProxies.parse("unix")) == "10.0.0.1"


def test_addresses_of_the_fourth_version_are_the_same_in_the_sixth() -> None:
    assert told("1.2.3.4", peer="::ffff:10.0.0.1") == "1.2.3.4"
    assert told("1.2.3.4", peer="::ffff:9.9.9.9") == "9.9.9.9"
    assert told("1.2.3.4", peer="9.9.9.9", trusted=TrustedProxies.parse("::ffff:9.9.9.0/120")) == "1.2.3.4"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=1.2.3.4", "1.2.3.4"),
        ('for="[2001:db9::1]:4711";proto=https;by=203.0.113.43', "2001:db9::1"),
        ("for=6.6.6.6, For=1.2.3.4;proto=http , for=10.1.1.1", "1.2.3.4"),
        ('for="unknown"', "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ("for=1.2.3.4;for=6.6.6.6", "10.0.0.1"),
        ("for=[2001:db9::1]", "10.0.0.1"),
        # What a client sends as its Host, quoted by its proxy, cannot pass for an element.
        ('for=1.2.3.4;host="a, for=6.6.6.6"', "10.0.0.1"),
        (r'for=1.2.3.4;host="a, for=6.6.6.6;x=\"b"', "10.0.0.1"),
        ('for=", for=1.2.3.4', "1.2.3.4"),
    ],
)
def test_the_standards_header_is_read_by_the_same_rule(value: str, client: str) -> None:
    assert told_anew(value) == client


def test_what_a_client_sends_under_the_other_name_is_not_read() -> None:
    both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.2.3.4")]
    assert client_address(asked("10.0.0.1", *both), PROXIES) == "1.2.3.4"
    assert client_address(asked("10.0.0.1", ("forwarded", "for=6.6.6.6"), both[1]), PROXIES) == "1.2.3.4"


def test_the_scheme_is_the_nearest_proxys_word() -> None:
    def scheme(peer: str | None, *headers: tuple[str, str], own: str = "http") -> str:
        return client_scheme(asked(peer, *headers, scheme=own), PROXIES)

    assert scheme("10.0.0.1", ("x-forwarded-proto", "https")) == "https"
    assert scheme("10.0.0.1", ("x-forwarded-proto", "https, HTTP")) == "http"
    assert scheme("10.0.0.1", ("x-forwarded-proto", "wss")) == "https"
    assert scheme("10.0.0.1", ("x-forwarded-proto", "gopher"), own="https") == "https"
    assert scheme("10.0.0.1", ("forwarded", "for=1.2.3.4;proto=https")) == "https"
    assert scheme("10.0.0.1", own="wss") == "https"
    assert scheme("192.0.2.7", ("x-forwarded-proto", "https")) == "http"
    assert scheme(None, ("x-forwarded-proto", "https")) == "http"


@given(st.lists(st.sampled_from(["x-forwarded-for", "forwarded"])), st.text(max_size=400))
def test_nothing_that_is_sent_raises_or_is_repeated(names: list[str], value: str) -> None:
    value = value.encode("latin-1", "replace").decode("latin-1")
    found = client_address(asked("10.0.0.1", *((name, value) for name in names)), PROXIES)
    assert set(found) <= set("0123456789abcdef.:")


@pytest.mark.parametrize("text", ["10.0.0.0/33", "localhost", "10.0.0.1-10.0.0.9", "*"])
def test_a_setting_that_names_no_network_stops_the_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_TRUSTED_PROXIES", text)
    with pytest.raises(ValueError, match="neither an address"):
        load_settings()


def test_the_setting_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_TRUSTED_PROXIES", "10.0.0.0/8,unix")
    settings = load_settings()
    assert settings.trusted_proxies == TrustedProxies.parse("10.0.0.0/8 unix")
    assert settings.trusted_proxies is settings.trusted_proxies
    assert settings.model_copy(update={"port": 1}).trusted_proxies
