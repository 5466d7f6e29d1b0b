"""What a sandbox sends, in a real browser: never run, never a part of a page of ours.

jupyter-server CVE-2026-44727: content of users' own ran on the server's origin.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error
from tests.security.support import Cloud, Received
from tests.support.browser import Visit, chromium

ATTACK = (
    "fetch('/api/me').then(a=>a.text()).then(t=>fetch('/api/mastra/stolen?'+t));"
    "document.cookie='shmastra_session=evil; path=/';localStorage.setItem('evil','1');"
    "navigator.serviceWorker&&navigator.serviceWorker.register('/api/mastra/sw.js',{scope:'/api/mastra/'});"
    "location='/api/mastra/ran'"
)
HTML = (
    f"<!doctype html><meta http-equiv=refresh content='0;/api/mastra/ran'><script>{ATTACK}</script>"
    f'<img src=/api/mastra/ran onerror="{ATTACK}">'
)
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{ATTACK}"><script>{ATTACK}</script></svg>'
XHTML = f'<html xmlns="http://www.w3.org/1999/xhtml"><script>{ATTACK}</script></html>'
XML = f'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="/api/mastra/ran"?><x xmlns:h="http://www.w3.org/1999/xhtml"><h:script>{ATTACK}</h:script></x>'
MIXED = f"--b\r\nContent-Type: text/html\r\n\r\n{HTML}\r\n--b--"
DOCUMENTS = {
    "html": ("200 OK", "text/html", HTML),
    "html-404": ("404 Not Found", "text/html", HTML),
    "html-500": ("500 Internal Server Error", "text/html; charset=utf-7", HTML),
    "html-302": ("302 Found\r\nLocation: https://evil.example/", "text/html", HTML),
    "html-refresh": (
        "200 OK\r\nRefresh: 0; url=/api/mastra/ran\r\nLink: </api/mastra/ran>; rel=preload",
        "text/html",
        HTML,
    ),
    "svg": ("200 OK", "image/svg+xml", SVG),
    "xhtml": ("200 OK", "application/xhtml+xml", XHTML),
    "xml": ("200 OK", "text/xml", XML),
    "xsl": ("200 OK", "text/xsl", XML),
    "rss": ("200 OK", "application/rss+xml", XML),
    "sniffed-text": ("200 OK", "text/plain", HTML),
    "sniffed-nothing": ("200 OK", "", HTML),
    "sniffed-unknown": ("200 OK", "x/y", HTML),
    "mixed": ("200 OK", "multipart/x-mixed-replace; boundary=b", MIXED),
    "related": ("200 OK", "multipart/related; boundary=b", MIXED),
    "pdf": (
        "200 OK",
        "application/pdf",
        "%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
    ),
}


def answer(connection: socket.socket, received: Received) -> None:
    name = received.head.split()[1].decode().rpartition("/")[2]
    code, kind, body = DOCUMENTS.get(name, ("200 OK", "text/javascript", "self.evil = 1"))
    typed = f"Content-Type: {kind}\r\n" if kind else ""
    connection.sendall(f"HTTP/1.1 {code}\r\n{typed}Content-Length: {len(body)}\r\n\r\n{body}".encode())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as here:
        yield here


@pytest.fixture
def visit(browser: Browser, cloud: Cloud) -> Iterator[Visit]:
    cloud.engine.answer = answer
    here = Visit(browser, cloud.url)
    here.context.add_cookies([{"name": "shmastra_session", "value": cloud.ann.session, "url": cloud.url}])
    yield here
    here.close()


def asked(cloud: Cloud) -> list[str]:
    return [received.head.split()[1].decode() for received in cloud.engine.received]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_a_sandbox_runs_nothing_and_reaches_nothing(
    visit: Visit, cloud: Cloud, name: str
) -> None:
    try:
        visit.page.goto(f"/api/mastra/{name}", wait_until="load")
    except Error as error:  # a browser saves what it does not show
        saved = "Download is starting" in str(error) or "ERR_ABORTED" in str(error)
        if not saved:
            raise
    visit.page.wait_for_timeout(150)
    assert asked(cloud) == [f"/api/mastra/{name}"]
    assert [url for url in visit.strangers if url.startswith("http")] == []  # its viewer of PDF is its own
    [cookie] = visit.context.cookies()
    assert cookie["value"] == cloud.ann.session
    answered: Any = visit.context.request.get("/api/me")
    assert answered.json()["email"] == cloud.ann.email


WORKS = (
    "new Promise((yes, no) => {{ const w = new {}('/api/mastra/x.js'); w.onerror = no; w.onmessage = yes; }})"
)
LOADS = (
    "new Promise((yes, no) => {{ const e = Object.assign(document.createElement('{}'), {});"
    " e.onload = yes; e.onerror = no; document.body.append(e); setTimeout(no, 700); }})"
)
PARTS = {
    "import": "import('/api/mastra/x.js')",
    "worker": WORKS.format("Worker"),
    "shared-worker": WORKS.format("SharedWorker"),
    "service-worker": "navigator.serviceWorker.register('/api/mastra/x.js')",
    "script": LOADS.format("script", "{src: '/api/mastra/x.js'}"),
    "module": LOADS.format("script", "{src: '/api/mastra/x.js', type: 'module'}"),
    "style": LOADS.format("link", "{rel: 'stylesheet', href: '/api/mastra/x.css'}"),
    "frame": LOADS.format("iframe", "{src: '/api/mastra/html'}"),
    "object": LOADS.format("object", "{data: '/api/mastra/svg'}"),
    "embed": LOADS.format("embed", "{src: '/api/mastra/svg'}"),
}
REFUSALS_LOAD = {"frame", "object"}


def test_nothing_of_a_sandbox_becomes_a_part_of_a_page_of_ours(visit: Visit, cloud: Cloud) -> None:
    """As if somebody had put markup into Studio: what it names in the sandbox is not fetched, or not used."""
    visit.page.goto("/studio")
    for name, script in PARTS.items():
        came = visit.page.evaluate(f"() => ({script}).then(() => 'came', () => 'refused')")
        assert came == "refused" or name in {"frame", "object"}, (
            name
        )  # a refused frame has loaded its refusal
    assert visit.page.evaluate("self.evil") is None
    assert asked(cloud) == []
    data = visit.page.evaluate("fetch('/api/mastra/data').then(answer => answer.text())")
    assert data == "self.evil = 1", "its data can be read"
