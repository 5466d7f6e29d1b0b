import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.httprelay.certificates import Authority
from tests.support.serving import Served, served

from shmastra_cloud.doctor import public
from shmastra_cloud.doctor.public import _judge, _Seen, certificate, reach
from shmastra_cloud.secrets_at_rest import Vault
from shmastra_cloud.settings import Settings, load_settings

VAULT = Vault(b"k" * 32)
WELL = {
    "peer": "10.0.0.9",
    "client": "1.2.3.4",
    "scheme": "https",
    "host": "a",
    "forwarded": True,
    "believed": True,
}
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=60)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "https://cloud.example.com")
    return load_settings()


def seen(*, gap: float = 0.5, expires: dt.datetime = LATER, **told: Any) -> _Seen:
    return _Seen(200, {**WELL, **told}, [1.0, 1.0 + gap], expires)


@pytest.mark.parametrize(
    ("what", "status", "fix"),
    [
        (seen(), "ok", ""),
        (seen(believed=False), "warning", "SHMASTRA_TRUSTED_PROXIES=10.0.0.9"),
        (seen(scheme="http", forwarded=False, believed=False), "warning", "X-Forwarded-Proto"),
        (seen(gap=0.01), "warning", "as they come"),
        (seen(expires=LATER - dt.timedelta(days=50)), "warning", "Renew it"),
    ],
)
def test_what_arrives_tells_what_is_wrong(what: _Seen, status: str, fix: str, settings: Settings) -> None:
    found = _judge(settings, what)
    assert (found.name, found.status) == ("reach", status)
    assert fix in found.fix


class Another:
    """Answers as something else that has the name."""

    status, body = 200, b"<html>"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
def another() -> Iterator[Served]:
    with served(Another()) as here:
        yield here


async def test_something_else_under_the_name_is_told(
    another: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", another.url)
    found = await reach(load_settings(), VAULT)
    assert (found.status, "something else (200)" in found.detail) == ("failed", True)
    another.app.status = 421
    assert "Host header" in (await reach(load_settings(), VAULT)).fix


async def test_an_address_that_nothing_listens_at_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "http://127.0.0.1:1")
    found = await reach(load_settings(), VAULT)
    assert (found.status, "cannot be connected to" in found.detail) == ("warning", True)


def test_what_is_no_answer_of_ours_is_none() -> None:
    assert public._arrived("data: " + json.dumps(WELL)) == WELL
    for text in ("data: no", "data: []", "data: {}"):
        assert public._arrived(text) == {}


def test_the_clouds_own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    assert certificate(load_settings()) == []

    def told(url: str, cert: Path, key: Path) -> tuple[str, str]:
        for name, value in (("PUBLIC_URL", url), ("TLS_CERT", cert), ("TLS_KEY", key)):
            monkeypatch.setenv(f"SHMASTRA_{name}", str(value))
        (found,) = certificate(load_settings())
        return found.status, found.fix

    files = authority.files("cloud.example.com")  # good for a day
    assert told("https://cloud.example.com", *files) == ("warning", "Renew it; is what renews it running?")
    assert told("https://other.example.com", *files)[0] == "failed"
    monkeypatch.setattr(public, "SOON", dt.timedelta(hours=1))
    assert told("https://cloud.example.com", *files) == ("ok", "")
    assert (
        "expired" in told("https://cloud.example.com", *authority.files("cloud.example.com", expired=True))[1]
    )
    assert told("https://cloud.example.com", files[0], tmp_path / "none")[0] == "failed"
