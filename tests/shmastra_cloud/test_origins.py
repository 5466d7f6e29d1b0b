import pytest

from shmastra_cloud.origins import is_same_origin

HERE = "https://cloud.example.com"


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("GET", {}, True),
        ("POST", {}, False),
        ("POST", {"origin": HERE}, True),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": "https://cloud.example.com.evil"}, False),
        ("POST", {"origin": "http://cloud.example.com"}, False),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("DELETE", {"sec-fetch-site": "none"}, False),
    ],
)
def test_a_change_must_come_from_this_origin(method: str, headers: dict[str, str], allowed: bool) -> None:
    assert is_same_origin(method, headers, HERE) is allowed
