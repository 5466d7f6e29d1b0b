import logging
import sys
from io import StringIO

import pytest

from httprelay.plain_logs import LINE_CHARACTERS, TRACE_CHARACTERS, Held, PlainFormatter, plain


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
        ("\u2028\u2029\u202e\ufeff", "\\u2028\\u2029\\u202e\\ufeff"),
        ("\ud800", "\\ud800"),
        ("größer, 東京", "größer, 東京"),
    ],
)
def test_what_is_no_printable_character_is_escaped(text: str, wanted: str) -> None:
    assert plain(text) == wanted


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    cut = plain("x" * 1_000_000)
    assert len(cut) < LINE_CHARACTERS + 50
    assert cut.endswith("(998000 characters more)")


@pytest.fixture
def written() -> StringIO:
    return StringIO()


@pytest.fixture
def log(written: StringIO) -> logging.Logger:
    made = logging.getLogger("tests.plain_logs")
    made.handlers, made.propagate = [], False
    handler = logging.StreamHandler(written)
    handler.setFormatter(PlainFormatter("%(levelname)s: %(message)s"))
    made.addHandler(handler)
    return made


def test_a_record_is_one_line_whatever_it_quotes(log: logging.Logger, written: StringIO) -> None:
    log.warning("no route %s", "/x\n2026-01-01 00:00:00 ERROR root: forged")
    assert written.getvalue() == "WARNING: no route /x\\n2026-01-01 00:00:00 ERROR root: forged\n"


def test_a_tracebacks_lines_are_set_in_and_hold_no_escape(log: logging.Logger, written: StringIO) -> None:
    error = ValueError("x\nERROR: forged\n\x1b[2J" + "y" * 100_000)
    log.error("it failed\n", exc_info=error)
    first, *rest = written.getvalue().splitlines()
    assert first == "ERROR: it failed"
    assert rest[0].startswith("  ValueError: x")
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in written.getvalue()
    assert len(written.getvalue()) < TRACE_CHARACTERS + 100


def test_one_place_says_so_much_a_minute_and_then_how_much_it_did_not_say() -> None:
    now = 0.0
    held = Held(3, lambda: now)

    def record(line: int) -> logging.LogRecord:
        return logging.LogRecord("x", logging.WARNING, "x.py", line, "no %s", ("y",), None)

    assert [held.filter(record(1)) for _ in range(10)] == [True] * 3 + [False] * 7
    assert held.filter(record(2))
    now = 61.0
    later = record(1)
    assert held.filter(later)
    assert later.getMessage() == "no y (7 more were held back)"
    assert sys.getsizeof(held._said) < 1000
