import time

import pytest
from e2b.sandbox.signature import get_signature

from sandboxd.envd.access import may, signed_for


def scope(query: str, method: str = "GET", path: str = "/files") -> dict[str, object]:
    return {"path": path, "method": method, "query_string": query.encode()}


def test_the_sdks_own_signatures_are_right_and_others_are_not() -> None:
    for expires in (None, 60):
        made = get_signature("/a b", "read", "root", "token", expires)
        query = f"path=/a%20b&username=root&signature={made['signature'].replace('+', '%2B')}"
        query += "" if expires is None else f"&signature_expiration={made['expiration']}"
        assert signed_for(scope(query), "token")
        assert not signed_for(scope(query), "other")
        assert not signed_for(scope(query, "POST"), "token")
        assert not signed_for(scope(query.replace("root", "user")), "token")
        assert not signed_for(scope(query, path="/process.Process/List"), "token")


@pytest.mark.parametrize("expires", ["", "x", "-1", "1", "a second ago"])
def test_a_signature_that_is_over_is_none(expires: str) -> None:
    expires = str(int(time.time()) - 1) if expires == "a second ago" else expires
    query = f"path=/a&signature=v1_x&signature_expiration={expires}"
    assert not signed_for(scope(query), "token")


def test_a_token_that_is_wrong_is_not_made_good_by_anything() -> None:
    made = get_signature("/a", "read", None, "token")["signature"].replace("+", "%2B")
    signed = scope(f"path=/a&signature={made}")
    assert may(signed, {}, "token")
    assert may(signed, {b"x-access-token": "token"}, "token")
    assert not may(signed, {b"x-access-token": "wrong"}, "token")
    assert may(scope("", path="/health"), {}, "token")
