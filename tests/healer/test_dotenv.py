import pytest

from shmastra_healer.dotenv import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [("A=b", "b"), ("A = b ", "b"), ("export A='b c'", "b c"), ('A="b=c"', "b=c"), ("A=", ""), ("A='", "'")],
)
def test_a_variable_is_read(text: str, value: str) -> None:
    assert parse(text) == {"A": value}


@pytest.mark.parametrize("text", ["", "#A=b", "A", "=b", "\x00\ufffd", " \n\n"])
def test_what_is_no_variable_is_none(text: str) -> None:
    assert parse(text) == {}


def test_the_last_of_two_wins() -> None:
    assert parse("A=1\nA=2\r\n") == {"A": "2"}
