import pytest

from shmastra_cloud.settings import load_settings
from shmastra_cloud.workspaces.dial import Dial, into_sandbox, out_of_sandbox


def test_a_local_sandbox_is_named_by_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_ENGINE_URL", "http://127.0.0.1:4999")
    dial = Dial(load_settings())
    target = dial.target("abc", None)
    assert (target.host, target.port, target.tls) == ("127.0.0.1", 4999, False)
    assert dict(dial.headers("abc", "tt")) == {
        b"e2b-sandbox-id": b"abc",
        b"e2b-sandbox-port": b"4111",
        b"e2b-traffic-access-token": b"tt",
    }
    assert dial.url("abc", None, "/health") == "http://127.0.0.1:4999/health"


def test_a_sandbox_elsewhere_is_named_by_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2B_API_KEY", "e2b_x")
    monkeypatch.setenv("SHMASTRA_PUBLIC_URL", "https://cloud.example.com")
    target = Dial(load_settings()).target("abc", "example.dev")
    assert (target.host, target.port, target.tls) == ("4111-abc.example.dev", 443, True)


@pytest.mark.parametrize(
    "name",
    [
        b"cookie",
        b"authorization",
        b"x-mastra-auth-token",
        b"x-access-token",
        b"e2b-sandbox-id",
        b"e2b-sandbox-port",
        b"e2b-traffic-access-token",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"host",
    ],
)
def test_what_names_or_opens_another_sandbox_never_goes_in(name: bytes) -> None:
    sent = into_sandbox([(name, b"evil"), (b"accept", b"*/*")], [(b"e2b-sandbox-id", b"mine")], "tok")
    assert (name, b"evil") not in sent
    assert (b"accept", b"*/*") in sent
    assert (b"x-mastra-auth-token", b"tok") in sent
    assert (b"e2b-sandbox-id", b"mine") in sent


@pytest.mark.parametrize(
    "name",
    [
        b"Set-Cookie",
        b"service-worker-allowed",
        b"clear-site-data",
        b"access-control-allow-origin",
        b"content-security-policy",
        b"location",
        b"refresh",
    ],
)
def test_what_acts_on_the_clouds_origin_never_comes_out(name: bytes) -> None:
    seen = out_of_sandbox([(name, b"evil"), (b"content-type", b"text/html")])
    assert all(value != b"evil" for _, value in seen)
    assert (b"content-type", b"text/html") in seen
    assert any(key == b"content-security-policy" and value.startswith(b"sandbox") for key, value in seen)
