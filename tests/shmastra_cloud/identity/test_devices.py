import datetime as dt
from typing import Any
from uuid import uuid4

import pytest

from shmastra_cloud.identity.devices import device, shown

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/18.5 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox on Android"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) CriOS/140.0 Mobile Safari/604.1",
            "Chrome on iPhone",
        ),
        ("curl/8.5.0", "Unknown device"),
        (None, "Unknown device"),
    ],
)
def test_a_browser_is_told_in_two_words(agent: str | None, wanted: str) -> None:
    assert device(agent) == wanted


def test_ones_own_session_is_known_by_its_hash() -> None:
    now = dt.datetime.now(dt.UTC)
    row: Any = {
        "id": uuid4(),
        "token_hash": b"own",
        "created_at": now,
        "last_used_at": now,
        "source": "oidc",
        "address": None,
        "agent": None,
    }
    mine = shown(row, b"own")
    assert (mine.own, mine.how, mine.address) == (True, "single sign-on", "unknown address")
    assert not shown(row, b"another").own
