import pytest

from shmastra_cloud.web_context import session_token


@pytest.mark.parametrize(
    ("cookies", "token"),
    [
        (None, None),
        ("theme=dark", None),
        ("theme=dark; shmastra_session=a", "a"),
        ("shmastra_session=a; shmastra_session=a", "a"),
        ("shmastra_session=a; shmastra_session=b", None),
        ("__Host-shmastra_session=a", None),
    ],
)
def test_of_two_sessions_neither_counts(cookies: str | None, token: str | None) -> None:
    assert session_token(cookies, https=False) == token
