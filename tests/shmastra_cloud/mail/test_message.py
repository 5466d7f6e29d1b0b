import datetime as dt

import pytest

from shmastra_cloud.mail import MailRefused, invitation, sign_in_mail
from shmastra_cloud.smtp_server import parse_server

SERVER = parse_server("smtp://localhost:25", "Team & Co <team@example.com>")
URL = "https://cloud.example.com/login/link/abc_DEF-123"
THEN = dt.datetime(2026, 11, 29, 9, 30, tzinfo=dt.UTC)


def test_both_parts_hold_the_link_whole_and_say_how_long_it_works() -> None:
    message = sign_in_mail(SERVER, "ann@example.com", URL, THEN)
    assert (message["To"], message["Subject"]) == ("ann@example.com", "Sign in to Shmastra Cloud")
    assert (
        message["From"] == '"Team & Co" <team@example.com>'
        or message["From"] == "Team & Co <team@example.com>"
    )
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    for part in (text, html):
        assert URL in part.get_content()
        assert "29 November 2026, 09:30 UTC" in part.get_content()
    assert max(map(len, bytes(message).splitlines())) <= 998  # RFC 5322, 2.1.1
    assert message["Auto-Submitted"] == "auto-generated"


def test_an_invitation_without_a_link_leads_to_the_cloud() -> None:
    message = invitation(SERVER, "ann@example.com", "https://cloud.example.com", None)
    text, html = (part.get_content() for part in message.iter_parts())
    assert "works once" not in text + html
    assert "https://cloud.example.com" in text
    assert "in your organization" in html


@pytest.mark.parametrize(
    "to", ["a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com", "a@b@c", "@", "", "a\x00@b"]
)
def test_nothing_is_smuggled_into_a_head(to: str) -> None:
    try:
        message = sign_in_mail(SERVER, to, URL, THEN)
    except MailRefused:
        return
    assert "Bcc" not in message
    assert len(message["To"].addresses) == 1


def test_what_is_told_is_told_as_text() -> None:
    message = sign_in_mail(SERVER, "ann@example.com", "https://x/<script>&", THEN)
    text, html = (part.get_content() for part in message.iter_parts())
    assert "<script>&" in text
    assert "<script>" not in html
