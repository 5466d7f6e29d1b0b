"""Headless Chromium as a user's browser: what it shows, what it complains about, and all that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from tests.support.cloud import ARTEFACTS

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, NARROW = (1280, 800), (390, 844)
SECONDS = 30
VIOLATIONS = """
addEventListener("securitypolicyviolation", event =>
  console.error("against the page's policy:", event.effectiveDirective, event.blockedURI, event.sourceFile));
"""
expect.set_options(timeout=SECONDS * 1000)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a running browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One user's browser profile with one page in it; it remembers errors (the policy's too) and requests."""

    def __init__(
        self, browser: Browser, url: str, *, size: tuple[int, int] = WIDE, dark: bool = False
    ) -> None:
        self.url = url
        self.errors: list[str] = []
        self.requests: list[Request] = []
        width, height = size
        self.context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(SECONDS * 1000)
        self.context.on("request", self._request)
        self.context.add_init_script(VIOLATIONS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def strangers(self) -> set[str]:
        """Every address outside the cloud's origin that the browser was made to ask."""
        origins = {_origin(request.url): request.url for request in self.requests}
        return {
            url for origin, url in origins.items() if origin not in {_origin(self.url), "blob://", "data://"}
        }

    def sign_in(self, link: str) -> None:
        """Open a one-time link, press its button, and wait for Studio."""
        self.page.goto(link)
        self.page.get_by_role("button", name="Open my workspace").click()
        self.page.wait_for_url("**/studio**", timeout=60_000)

    def asked(self, path: str, kind: str | None = None) -> int:
        """Count the requests for a path, of one kind: ``document``, ``fetch``, ``eventsource``."""
        return sum(
            urlsplit(request.url).path == path and kind in {None, request.resource_type}
            for request in self.requests
        )

    def text(self, selector: str = "body") -> str:
        """Return what a part of the page shows."""
        return self.page.locator(selector).first.inner_text()

    def shot(self, name: str) -> Path:
        """Keep a picture of the page under ``artefacts/``."""
        path = ARTEFACTS / "screenshots" / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def fetch(self, path: str, **options: Any) -> tuple[int, Any]:
        """Ask for something as a script of the page would; returns status and body."""
        script = (
            "async ([path, options]) => { const answer = await fetch(path, options);"
            " const text = await answer.text();"
            " try { return [answer.status, JSON.parse(text)]; } catch { return [answer.status, text]; } }"
        )
        status, body = self.page.evaluate(script, [path, options])
        return status, body

    def close(self) -> None:
        """Throw the profile away."""
        self.context.close()

    def _request(self, request: Request) -> None:
        self.requests.append(request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
