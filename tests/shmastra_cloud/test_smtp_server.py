import pytest

from shmastra_cloud.smtp_server import parse_server


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "starttls"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, False, True),
        ("smtp://mail.example.com:2525/", "mail.example.com", 2525, False, True),
        ("smtps://mail.example.com", "mail.example.com", 465, True, False),
        ("smtp://localhost:25", "localhost", 25, False, False),
        ("smtp://[::1]:25", "::1", 25, False, False),
        ("smtps://127.0.0.1:465", "127.0.0.1", 465, True, False),
    ],
)
def test_where_mail_goes_and_how_safely(url: str, host: str, port: int, tls: bool, starttls: bool) -> None:
    found = parse_server(url, "a@example.com")
    assert (found.host, found.port, found.tls, found.starttls) == (host, port, tls, starttls)
    assert found.username is None


def test_who_sends() -> None:
    url = "smtp://cloud%40example.com:p%40ss%2Fword@mail.example.com"
    found = parse_server(url, None)
    assert (found.username, found.password) == ("cloud@example.com", "p@ss/word")
    assert str(found.sender) == "Shmastra Cloud <cloud@example.com>"
    assert "p@ss" not in repr(found)
    assert found.shown == "smtp://mail.example.com:587"
    named = parse_server(url, "The Team <team@example.com>")
    assert (named.sender.display_name, named.sender.addr_spec) == ("The Team", "team@example.com")


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://secret@mail.example.com", "a@example.com"),
        ("smtp://", "a@example.com"),
        ("smtp://secret@mail.example.com", "a@example.com"),
        ("smtp://mail.example.com:secret", "a@example.com"),
        ("smtp://mail.example.com/secret", "a@example.com"),
        ("smtp://mail.example.com?secret", "a@example.com"),
        ("smtp://[secret", "a@example.com"),
        ("smtp://mail.example.com", None),
        ("smtp://secret:x@mail.example.com", None),
        ("smtp://mail.example.com", "nobody"),
        ("smtp://mail.example.com", "a@b@c"),
        ("smtp://mail.example.com", "@"),
        ("smtp://mail.example.com", "a@example.com\r\nBcc: all@example.com"),
    ],
)
def test_what_cannot_be_used_is_refused_without_being_repeated(url: str, sender: str | None) -> None:
    with pytest.raises(ValueError, match="SHMASTRA_") as refused:
        parse_server(url, sender)
    assert "secret" not in str(refused.value)
