import ssl
from importlib.metadata import version

import httpx
import pytest

from shmastra_cloud.cli import remote
from shmastra_cloud.cli.common import Failed
from shmastra_cloud.cli.credentials import Credential

URL = "https://cloud.example.com"
TOKEN = Credential("sct_secret", "7", "laptop", "ann@example.com", "2026-12-01T00:00:00+00:00")


def elsewhere(handler: httpx.MockTransport, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    monkeypatch.setattr(remote, "transport", lambda: handler)
    return httpx.Client(transport=remote.Elsewhere(URL, TOKEN), base_url="http://admin", trust_env=False)


def test_what_is_meant_for_the_socket_goes_there_with_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[])

    with elsewhere(httpx.MockTransport(answer), monkeypatch) as http:
        http.get("/sandboxes/a%2Fb/events?limit=2")
    [request] = seen
    assert str(request.url) == f"{URL}/api/manage/sandboxes/a%2Fb/events?limit=2"
    assert (request.headers["host"], request.headers["authorization"]) == (
        "cloud.example.com",
        "Bearer sct_secret",
    )
    assert "sct_secret" not in str(request.url)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (httpx.Response(302, headers={"location": "https://evil.example/\x1b[31m"}), "sends on to"),
        (httpx.Response(404, text="nothing"), "too old"),
        (httpx.Response(405, text="nothing"), "too old"),
    ],
)
def test_what_is_no_cloud_is_said_in_a_sentence(
    answer: httpx.Response, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        elsewhere(httpx.MockTransport(lambda _: answer), monkeypatch) as http,
        pytest.raises(Failed, match=word) as failed,
    ):
        http.get("/users")
    assert "\x1b" not in str(failed.value)


def test_another_version_is_told() -> None:
    ours = version("shmastra-cloud")
    assert remote.versions(httpx.Headers()) == ""
    assert remote.versions(httpx.Headers({"x-shmastra-version": ours})) == ""
    assert "'9.9'" in remote.versions(httpx.Headers({"x-shmastra-version": "9.9"}))


def caused(by: Exception) -> httpx.ConnectError:
    error = httpx.ConnectError("x")
    error.__cause__ = by
    return error


def test_each_way_not_to_answer_has_its_sentence() -> None:
    wrong = ssl.SSLCertVerificationError("x")
    wrong.verify_message = "self-signed certificate"
    for error, word in (
        (caused(wrong), "cannot be trusted (self-signed certificate)"),
        (caused(ssl.SSLError("x")), "does not speak TLS"),
        (httpx.ReadTimeout("x"), "did not answer in time"),
        (httpx.ConnectError("x"), "cannot be reached"),
    ):
        assert word in str(remote.unreachable(URL, error))


def test_nobody_is_asked_without_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(Failed, match=f"shmastra login {URL}"):
        remote.credential_for(URL)
