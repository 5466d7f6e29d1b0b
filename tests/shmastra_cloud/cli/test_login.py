"""A cloud under TLS, asked by the command line of an admin elsewhere, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.httprelay.certificates import Authority
from tests.sandboxd.conftest import Daemon
from tests.shmastra_cloud.housing import EMAIL, House, engine_environment
from tests.shmastra_cloud.webs import MASTER_KEY, Web, web_process

from shmastra_cloud.cli import login
from shmastra_cloud.cli.common import Failed
from shmastra_cloud.cli.credentials import Credential, stored

ADMIN = "bob@example.com"
BEGUN = {"device_code": "d", "user_code": "C", "verification_uri": "u", "expires_in": 600, "interval": 1}


@dataclass
class Terminal:
    """An admin's machine: the command line with a home of its own, and his browser."""

    web: Web
    home: Path
    authority: Authority
    browser: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.browser = httpx.Client(base_url=self.web.url, headers={"origin": self.web.url}, verify=False)

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "SSL_CERT_FILE": str(self.authority.file),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "shmastra_cloud", *words]
        return subprocess.Popen(command, env=environ, cwd=self.home, **options)

    def shmastra(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        pipe = subprocess.PIPE
        process = self.popen(*words, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def there(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return self.shmastra("--url", self.web.url, *words, stdin=stdin)

    def sign_in(self, email: str) -> None:
        link = json.loads(self.web.shmastra("user", "invite", email, "--admin", "--json").stdout)
        assert self.browser.post(httpx.URL(link["url"]).path).status_code == 303

    def log_in(self, answer: str = "allow") -> tuple[int, bytes]:
        """Run ``shmastra login``, and answer in the browser; gives its status and all that it said."""
        process = self.popen("login", self.web.url, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None
        said = b""
        while not (code := re.search(rb"^ +([A-Z]{4}-[A-Z]{4})$", said, re.MULTILINE)):
            line = process.stdout.readline()
            assert line, said
            said += line
        form = {"code": code[1].decode(), "answer": answer}
        assert "asks from" in self.browser.post("/manage/login", data=form).text
        assert self.browser.post("/manage/login/decide", data=form).status_code == 200
        said += process.stdout.read()
        process.stdout.close()
        return process.wait(30), said

    @property
    def token(self) -> str:
        kept = json.loads((self.home / ".config/shmastra/tokens.json").read_text())
        return str(kept[self.web.url]["token"])


@pytest.fixture
def terminal(dsn: str, tmp_path: Path, daemon: Daemon) -> Iterator[Terminal]:
    authority = Authority(tmp_path)
    certificate, key = authority.files("127.0.0.1")
    for name in ("cloud", "home"):
        (tmp_path / name).mkdir()
    environ = {
        "DATABASE_URL": dsn,
        "SHMASTRA_MASTER_KEY": MASTER_KEY,
        "SHMASTRA_TLS_CERT": str(certificate),
        "SHMASTRA_TLS_KEY": str(key),
        **engine_environment(daemon),
    }
    with web_process(tmp_path / "cloud", **environ) as web:
        made = Terminal(web, tmp_path / "home", authority)
        yield made
        made.browser.close()
        kept = made.home / ".config/shmastra/tokens.json"
        if kept.exists() and web.url in json.loads(kept.read_text()):
            assert made.token.encode() not in web.log.read_bytes()


def written(terminal: Terminal, program: httpx.Client) -> set[tuple[str, str, str]]:
    lines = program.get(f"/api/manage/audit?who={ADMIN}&action=sandbox").json()["lines"]
    return {(line["action"], line["actor_kind"], line["outcome"]) for line in lines}


def test_everything_can_be_asked_from_elsewhere_until_the_token_is_revoked(
    terminal: Terminal, ann: House
) -> None:
    terminal.sign_in(ADMIN)
    status, said = terminal.log_in()
    assert (status, f"as {ADMIN}".encode() in said, terminal.token.encode() in said) == (0, True, False)
    program = httpx.Client(base_url=terminal.web.url, verify=False)
    program.headers["authorization"] = f"Bearer {terminal.token}"
    data = os.urandom(2_000_000)
    assert terminal.there("sandbox", "exec", EMAIL, "--", "cat", stdin=data).stdout == data
    (terminal.home / "file").write_bytes(data)
    assert terminal.there("sandbox", "cp", "file", f"{EMAIL}:file").returncode == 0
    assert b"healer has not run" in terminal.there("sandbox", "logs", EMAIL, "healer").stderr
    assert written(terminal, program) == {
        (f"sandbox.{word}", "token", "done") for word in ("exec", "stdin", "cp", "logs")
    }
    running = terminal.popen(
        "--url", terminal.web.url, "sandbox", "exec", EMAIL, "--", "sh", "-c", "echo begun; sleep 300",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == b"begun\n"
    [token] = program.get("/api/manage/tokens").json()
    own = terminal.browser.post("/manage/login/revoke", data={"token": token["id"]})
    assert own.status_code == 303
    _, error = running.communicate(timeout=30)
    assert (running.returncode, b"broke" in error or b"lost" in error) == (1, True)
    assert program.get("/api/manage/users").json()["code"] == "bad_token"
    assert b"Logged out" in terminal.shmastra("logout", terminal.web.url).stdout
    assert b"not logged in" in terminal.there("user", "list").stderr
    asking_as_a_page(terminal)
    with_another_authority(terminal)
    terminal.log_in()
    program.headers["authorization"] = f"Bearer {terminal.token}"
    demoted_at_once(terminal, program)
    program.close()


def asking_as_a_page(terminal: Terminal) -> None:
    """What a page sends needs an Origin of ours; what a program sends needed none."""
    asked: dict[str, Any] = {"json": {"email": "c@example.com"}}
    assert (
        terminal.browser.post("/api/manage/users", **asked, headers={"origin": "https://x"}).status_code
        == 403
    )
    made = terminal.browser.post("/api/manage/users", **asked)
    assert (made.status_code, "/login/link/" in made.json()["url"]) == (200, True)
    assert (
        terminal.browser.post("/api/manage/users/c@example.com/role", json={"role": "admin"}).status_code
        == 200
    )


def with_another_authority(terminal: Terminal) -> None:
    untrusted = Terminal(terminal.web, terminal.home, Authority(terminal.home))
    wrong = untrusted.shmastra("login", terminal.web.url)
    assert (wrong.returncode, b"cannot be trusted" in wrong.stderr) == (1, True)
    assert wrong.stderr.count(b"\n") == 1
    untrusted.browser.close()


def demoted_at_once(terminal: Terminal, program: httpx.Client) -> None:
    email = f"/api/manage/users/{ADMIN}/role"
    assert program.post(email, json={"role": "member"}).status_code == 200
    deadline = time.monotonic() + 1
    while program.get("/api/manage/users").status_code != 401:
        assert time.monotonic() < deadline
    while terminal.browser.get("/api/manage/users").status_code != 404:
        assert time.monotonic() < deadline


def test_a_log_in_replaces_the_former_one_and_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    asked: list[str] = []
    made = iter(Credential(f"sct_{number}", str(number), "laptop", ADMIN, "2026-12-01") for number in (1, 2))
    monkeypatch.setattr(login, "log_in", lambda *_: next(made))
    monkeypatch.setattr(login, "choose", lambda *_: None)
    monkeypatch.setattr(login, "ask", lambda _method, path: asked.append(path))
    for _ in range(2):
        login.login_command("cloud.example.com")
    assert asked == ["/tokens/1/revoke"]
    capsys.readouterr()
    login.login_command(listed=True, as_json=True)
    [row] = json.loads(capsys.readouterr().out)
    assert row == {
        "url": "https://cloud.example.com",
        "email": ADMIN,
        "name": "laptop",
        "expires_at": "2026-12-01",
    }

    def refused(*_: object) -> None:
        raise Failed("no", "database_away")

    monkeypatch.setattr(login, "ask", refused)
    with pytest.raises(Failed, match="still logged in"):
        login.logout_command("cloud.example.com")
    assert "https://cloud.example.com" in stored()


@pytest.mark.parametrize(
    ("answers", "word"),
    [
        ([httpx.Response(404, text="nothing")], "too old"),
        ([httpx.Response(200, json=[])], "as no Shmastra Cloud does"),
        ([httpx.Response(200, json={"device_code": "x"})], "as no Shmastra Cloud does that"),
        (
            [
                httpx.Response(200, json={**BEGUN, "interval": 0}),
                httpx.Response(400, json={"error": "An admin has refused.", "code": "access_denied"}),
            ],
            "refused",
        ),
        ([httpx.Response(429, json={"error": "Too many \x1b[31mwait."})], "Too many"),
    ],
)
def test_what_answers_otherwise_is_said_in_a_sentence(
    answers: list[httpx.Response], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shmastra_cloud.cli import remote

    monkeypatch.setattr(remote, "transport", lambda: httpx.MockTransport(lambda _: answers.pop(0)))
    with pytest.raises(Failed, match=word) as failed:
        login.log_in("https://cloud.example.com", "laptop", 1)
    assert "\x1b" not in str(failed.value)


def test_the_command_line_is_patient_and_not_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    from shmastra_cloud.cli import remote

    made = {"access_token": "t", "id": "1", "name": "n", "email": "e", "expires_at": "x"}
    answers: list[Any] = [
        httpx.Response(200, json=BEGUN),
        httpx.ConnectError("for a moment"),
        httpx.Response(400, json={"error": "x", "code": "authorization_pending"}),
        httpx.Response(400, json={"error": "x", "code": "slow_down"}),
        httpx.Response(200, json=made),
    ]
    slept: list[float] = []

    def answer(_request: httpx.Request) -> httpx.Response:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, httpx.Response)
        return found

    monkeypatch.setattr(remote, "transport", lambda: httpx.MockTransport(answer))
    monkeypatch.setattr(login.time, "sleep", slept.append)
    assert login.log_in("https://cloud.example.com", "laptop", 1).token == "t"
    assert slept == [1, 1, 1, 6]
    answers[:] = [httpx.Response(200, json=BEGUN), *[httpx.ConnectError("away")] * 20]
    with pytest.raises(Failed, match="cannot be reached"):
        login.log_in("https://cloud.example.com", "laptop", 1)
    answers[:] = [httpx.Response(200, json={**BEGUN, "expires_in": 0})]
    with pytest.raises(Failed, match="in time"):
        login.log_in("https://cloud.example.com", "laptop", 1)


def test_a_machines_name_is_one_that_a_cloud_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for own, name in (
        ("laptop", "laptop"),
        ("ann's büro", "ann-s b-ro"),
        ("", "command line"),
        ("x" * 99, "x" * 64),
    ):
        monkeypatch.setattr(login.platform, "node", lambda own=own: own)
        assert login._own_name() == name
