"""Open redirects: nobody is sent to another origin, whatever an address of ours says.

JupyterHub CVE-2026-33709: ``next`` led away after signing in.
"""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.security.support import Cloud, status

from shmastra_cloud.returns import kept_return, safe_return


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[/\\]{1,3}[a-z.:@%\\/?#\t\n]{0,30}", fullmatch=True)))
@example("//evil.example")
@example("/\\evil.example")
@example("/studio//evil.example")
@example("/studio/../../evil")
@example("/studio/%2e%2e/x")
@example("/studio@evil.example")
@example("/studio\n")
@example("/studio?x=//evil.example")
@example("javascript:alert(1)")
@example("https://evil.example/studio")
def test_where_a_visitor_is_sent_after_starting_is_always_here(wanted: str) -> None:
    here = "https://cloud.example"
    place = safe_return(wanted)
    parts = urlsplit(urljoin(here, place))
    assert (parts.scheme, parts.netloc) == ("https", "cloud.example")
    assert parts.path.split("/")[1] in {"studio", "workspace", "manage", "usage", "sessions"}
    assert not set(place) & set("\\\r\n\t<>\"' ")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.text(max_size=40))
@example(wanted="https://evil.example")
@example(wanted="//evil.example")
@example(wanted="/studio\r\nset-cookie: a=b")
def test_return_to_never_leads_away_over_the_wire(cloud: Cloud, wanted: str) -> None:
    path = f"/workspace?returnTo={quote(wanted.encode('utf-8', 'surrogatepass'), safe='')}"
    answer = cloud.ask(f"GET {path}", f"Cookie: shmastra_session={cloud.ann.session}")
    head = answer.partition(b"\r\n\r\n")[0]
    assert status(answer) == 302
    assert b"location: /studio" in head or b"location: /workspace" in head or b"location: /manage" in head
    assert b"set-cookie" not in head


EVIL = [
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/%09/evil.example",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "https:evil.example",
    "https:///evil.example",
    "/studio@evil.example",
    "http://127.0.0.1@evil.example",
    "/studio/..//evil.example",
    "/\u2024\u2024/evil.example",
    "\uff0f\uff0fevil.example",
    "/studio\u3002evil.example",
    "/studio/%252e%252e//evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "/api/me",
    "/login/link/x",
    "/logout",
]


@pytest.mark.parametrize("wanted", EVIL)
def test_no_way_in_leads_away(cloud: Cloud, wanted: str) -> None:
    asked = quote(wanted.encode(), safe="")
    mine = f"Cookie: shmastra_session={cloud.ann.session}"
    assert b"location: /workspace\r\n" in cloud.ask(f"GET /?returnTo={asked}", mine)
    assert b"location: /studio\r\n" in cloud.ask(f"GET /workspace?returnTo={asked}", mine)
    assert b"evil" not in cloud.ask(f"GET /?returnTo={asked}")
    tossed = f"Cookie: shmastra_return={asked}"
    back = cloud.ask(f"POST /login/link/{cloud.link()}", f"Origin: {cloud.url}", tossed)
    assert b"location: /workspace\r\n" in back


def test_a_deep_page_is_come_back_to_by_the_one_time_link(cloud: Cloud) -> None:
    away = cloud.ask("GET /studio/agents/x?tab=a%2Fb")
    assert status(away) == 302
    assert b"location: /\r\n" in away
    [cookie] = [line for line in away.split(b"\r\n") if line.startswith(b"set-cookie: ")]
    kept = cookie.split()[1].rstrip(b";").decode()
    back = cloud.ask(f"POST /login/link/{cloud.link()}", f"Origin: {cloud.url}", f"Cookie: {kept}")
    assert b"location: /studio/agents/x?tab=a%2Fb\r\n" in back
    assert b"set-cookie: shmastra_return=" in back
    assert b"Max-Age=0" in back


@given(st.text(max_size=80))
def test_whatever_the_cookie_holds_is_a_page_of_ours_or_nothing(value: str) -> None:
    kept = kept_return({"shmastra_return": quote(value.encode("utf-8", "surrogatepass"))}, https=False)
    parts = urlsplit(urljoin("https://cloud.example", kept))
    assert (parts.scheme, parts.netloc) == ("https", "cloud.example")
    assert not kept or kept == value
