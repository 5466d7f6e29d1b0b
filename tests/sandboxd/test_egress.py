import pytest

from sandboxd.egress import Refused, allowed, resolve


@pytest.mark.parametrize(
    ("host", "patterns", "passes"),
    [
        ("pypi.org", ["pypi.org"], True),
        ("PyPI.org.", ["pypi.org"], True),
        ("evilpypi.org", ["pypi.org"], False),
        ("pypi.org.evil.com", ["pypi.org"], False),
        ("raw.githubusercontent.com", ["*.githubusercontent.com"], True),
        ("githubusercontent.com", ["*.githubusercontent.com"], False),
        ("anything.example", ["*"], True),
        ("pypi.org", [], False),
    ],
)
def test_only_listed_hosts_are_let_out(host: str, patterns: list[str], passes: bool) -> None:
    assert allowed(host, patterns) is passes


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::1", "no.such.invalid"]
)
async def test_a_name_may_not_lead_back_inside(host: str) -> None:
    with pytest.raises(Refused):
        await resolve(host, 443)
