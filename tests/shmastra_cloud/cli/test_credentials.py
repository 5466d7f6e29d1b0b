import stat
from pathlib import Path

import pytest

from shmastra_cloud.cli import credentials
from shmastra_cloud.cli.common import Failed
from shmastra_cloud.cli.credentials import Credential, address, forget, keep, place, stored

ONE = Credential("sct_secret", "7", "laptop", "ann@example.com", "2026-12-01T00:00:00+00:00")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://Cloud.example.com", "https://cloud.example.com"),
        ("https://cloud.example.com:443/", "https://cloud.example.com"),
        ("cloud.example.com", "https://cloud.example.com"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_a_cloud_has_one_address(given: str, url: str) -> None:
    assert address(given) == url


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("http://cloud.example.com", "not https"),
        ("http://127.0.0.1.evil.example", "not https"),
        ("https://cloud.example.com/manage", "no path"),
        ("https://cloud.example.com?x", "no path"),
        ("ftp://cloud.example.com", "looks like"),
        ("https://user@cloud.example.com", "looks like"),
        ("https://cloud.example.com:0", "looks like"),
        ("https://cloud.example.com:port", "looks like"),
        ("https://", "looks like"),
        ("https://[", "looks like"),
    ],
)
def test_what_is_no_address_or_not_safe_is_refused(given: str, word: str) -> None:
    with pytest.raises(Failed, match=word):
        address(given)


def test_tokens_are_kept_for_this_user_only(home: Path) -> None:
    assert stored() == {}
    keep("https://a", ONE)
    keep("https://b", ONE)
    assert place() == home / "shmastra" / "tokens.json"
    assert stat.S_IMODE(place().stat().st_mode) == 0o600
    assert stat.S_IMODE(place().parent.stat().st_mode) == 0o700
    forget("https://a")
    forget("https://nowhere")
    assert stored() == {"https://b": ONE}
    assert "sct_secret" not in repr(ONE)
    assert [path.name for path in place().parent.iterdir()] == ["tokens.json"]
    place().chmod(0o640)
    with pytest.raises(Failed, match="chmod 600"):
        stored()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"https://a": {"token": "x"}}', '{"https://a": 1}'])
def test_a_damaged_file_is_said_so(text: str) -> None:
    keep("https://a", ONE)
    place().write_text(text)
    with pytest.raises(Failed, match="damaged"):
        stored()


def test_a_write_that_fails_leaves_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    keep("https://a", ONE)

    def full(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(credentials.json, "dump", full)
    with pytest.raises(OSError, match="no space"):
        keep("https://b", ONE)
    assert stored() == {"https://a": ONE}
    assert [path.name for path in place().parent.iterdir()] == ["tokens.json"]


def test_without_a_folder_of_configurations_it_is_the_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ann")
    assert place() == Path("/home/ann/.config/shmastra/tokens.json")
