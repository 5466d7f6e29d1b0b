from typing import Any

import pytest
from fastapi import Request, Response

from shmastra_cloud.returns import (
    RETURN_CHARACTERS,
    forget_return,
    kept_return,
    safe_return,
    sign_in_first,
)


@pytest.mark.parametrize(
    "wanted",
    [
        "//e.x",
        "/\\e.x",
        "/\t/e.x",
        "https://e.x",
        "/studio\r\nx: y",
        "/studio/../x",
        "/studio/%2e%2e/x",
        "javascript:alert(1)",
        "/studio@e.x",
        "/api/gateway/x",
        "/studio\n",
        "",
    ],
)
def test_a_return_path_that_could_lead_away_leads_to_studio(wanted: str) -> None:
    assert safe_return(wanted) == "/studio"


def test_a_page_of_ours_is_gone_on_to() -> None:
    for ours in ("/studio/agents/x?tab=1", "/usage?days=7", "/manage", "/workspace"):
        assert safe_return(ours, "/workspace") == ours


def test_a_path_that_is_too_long_or_missing_leads_where_the_caller_says() -> None:
    assert safe_return(None, "/workspace") == "/workspace"
    assert safe_return("/studio/" + "a" * RETURN_CHARACTERS, "/workspace") == "/workspace"


def asked(path: str, query: str = "") -> Request:
    scope: Any = {"type": "http", "raw_path": path.encode(), "query_string": query.encode(), "headers": []}
    return Request(scope)


@pytest.mark.parametrize("https", [False, True])
def test_where_somebody_wanted_to_go_is_kept_in_a_cookie_and_given_back(https: bool) -> None:
    answer = sign_in_first(asked("/studio/agents/x%20y", "tab=1&a=%2F"), https=https)
    assert (answer.status_code, answer.headers["location"]) == (302, "/")
    cookie = answer.headers["set-cookie"]
    name, _, value = cookie.partition(";")[0].partition("=")
    assert name == ("__Host-shmastra_return" if https else "shmastra_return")
    assert ("Secure" in cookie) is https
    assert "HttpOnly; Max-Age=900; Path=/; SameSite=lax" in cookie
    assert kept_return({name: value}, https=https) == "/studio/agents/x%20y?tab=1&a=%2F"
    gone = Response()
    forget_return(gone, {name: value}, https=https)
    assert "Max-Age=0" in gone.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/studio", "/workspace", "/api/me", "/studio/%2e%2e/x", "//e.x/studio"])
def test_where_everybody_goes_anyway_or_nobody_may_is_not_kept(path: str) -> None:
    assert "set-cookie" not in sign_in_first(asked(path), https=False).headers


@pytest.mark.parametrize("value", ["", "https://e.x", "%2F%2Fe.x", "%25", "/studio%0d%0ax", "%2Fstudio%5CE"])
def test_a_cookie_that_was_tossed_in_leads_nowhere_else(value: str) -> None:
    assert kept_return({"shmastra_return": value}, https=False) == ""
