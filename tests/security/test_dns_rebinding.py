"""A name of somebody else's that leads to a service on this machine: the web process, sandboxd, sockets."""

from __future__ import annotations

import inspect

import httpx
import pytest
from tests.sandboxd.conftest import DOMAIN, Daemon, daemon
from tests.security.support import Cloud, status

from shmastra_cloud.supervisor import demo_model

__all__ = ["daemon"]

CHAT = "/api/gateway/openai/v1/chat/completions"


@pytest.mark.parametrize("path", ["/", "/workspace", "/api/me", "/api/mastra/agents", CHAT])
def test_a_host_that_lies_is_421_and_never_relayed(cloud: Cloud, path: str) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"):
        answer = cloud.ask(f"GET {path}", *cloud.mine(), f"x-api-key: {cloud.ann.key}", host=host)
        assert status(answer) == 421
        assert b"SHMASTRA_PUBLIC_URL" in answer
    assert cloud.engine.received == []
    assert cloud.provider.received == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:3000", "LOCALHOST:80", "10.1.2.3"])
def test_an_address_or_the_clouds_own_name_is_a_host(cloud: Cloud, host: str) -> None:
    assert status(cloud.ask("GET /api/me", *cloud.mine(), host=host)) == 200


NAMES = ["evil.example", "rebound.evil.example:{port}", "127.0.0.1.nip.io", "localhost.evil.example"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path", ["/v2/sandboxes", "/sandboxes", "/sandboxes/x", "/files", "/process.Process/Start"]
)
def test_a_rebound_name_gets_nothing_of_the_sandbox_engine(daemon: Daemon, name: str, path: str) -> None:
    """A page has neither the API key nor a token, and no answer shares itself with its origin."""
    host = name.format(port=daemon.port)
    page = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = httpx.request(method, f"{daemon.url}{path}", headers=page)
        assert answer.status_code in {401, 404, 405}
        assert not any(one.startswith("access-control-") for one in answer.headers)


@pytest.mark.parametrize("port", ["4111", "49983", "22"])
def test_a_rebound_name_that_looks_like_a_sandboxs_opens_no_port(daemon: Daemon, port: str) -> None:
    sandbox_id = "i0123456789abcdefghij"
    for host in (f"{port}-{sandbox_id}.evil.example", f"{port}-{sandbox_id}.{DOMAIN}"):
        answer = httpx.get(daemon.url, headers={"host": host, "origin": f"http://{host}"})
        assert answer.status_code in {401, 403, 404, 502}


def test_what_is_for_the_machine_alone_listens_on_no_port(cloud: Cloud) -> None:
    """The admin's socket and the sandboxes' are files: no name leads there. The demo model's is one too."""
    for name in ("admin.sock", "sandbox.sock"):
        assert (cloud.data / "run" / name).is_socket()
    for path in ("/users", "/sandboxes", "/users/ann@example.com/link", "/models", "/audit"):
        for method in ("GET", "POST"):
            assert status(cloud.ask(f"{method} {path}", *cloud.mine())) in {404, 405}
    parameters = inspect.getsource(demo_model.serve)
    assert "parameters.hostnames = [str(path)]" in parameters
    assert "parameters.port = 0" in parameters
