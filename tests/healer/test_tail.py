import secrets

from shmastra_healer.tail import CHARACTERS, hide, presentable

KEY = f"vk_5f0c6e0e-5f5c-4c37-9d5d-0a51b7a1c001_{'a1' * 24}"
ENV = {"OPENAI_API_KEY": KEY, "MASTRA_AUTH_TOKEN": "tok-secret-1", "USER_ID": "5f0c6e0e", "X_TOKEN": "abc"}


def test_secrets_are_hidden_and_nothing_else() -> None:
    text = presentable(f"key {KEY} token tok-secret-1 user 5f0c6e0e abc\n".encode(), ENV, whole=True)
    assert text == "key [hidden] token [hidden] user 5f0c6e0e abc"


def test_an_older_key_is_hidden_too() -> None:
    assert hide(f"x {KEY[:-2]}ff.", {}) == "x [hidden]."


def test_colours_and_controls_are_taken_out() -> None:
    raw = b"\x1b[31mError\x1b[0m:\x1b]0;title\x07 a\x00b\r\n\tat c\n"
    assert presentable(raw, {}, whole=True) == "Error: ab\n\tat c"


def test_a_key_that_is_coloured_in_the_middle_is_hidden() -> None:
    raw = f"{KEY[:20]}\x1b[1m{KEY[20:]}".encode()
    assert presentable(raw, {}, whole=True) == "[hidden]"


def test_a_part_of_a_log_begins_with_a_whole_line() -> None:
    assert presentable(f"{KEY[10:]}\nlast".encode(), {}, whole=False) == "last"


def test_it_is_bounded_and_keeps_the_end() -> None:
    lines = [f"line {number} {secrets.token_hex(20)}" for number in range(500)]
    text = presentable("\n".join(lines).encode(), {}, whole=True)
    assert CHARACTERS // 2 < len(text) <= CHARACTERS
    assert text.endswith(lines[-1])
    assert text.splitlines()[0] in lines
    assert len(presentable(b"x" * 9000, {}, whole=True)) == CHARACTERS


def test_bytes_that_are_no_text_are_no_trouble() -> None:
    assert presentable(b"\xff\xfe ok \xed\xa0\x80", {}, whole=True).startswith("\ufffd\ufffd ok")
