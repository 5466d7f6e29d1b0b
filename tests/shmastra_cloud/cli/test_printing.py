import pytest

from shmastra_cloud.cli.printing import plain, print_fields, print_rows


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    assert plain("\x1b]0;title\x07\x1b[2Jred\r\nline \u202eevil") == "]0;title [2Jred line  evil"
    assert plain(None) == plain("") == "-"
    assert plain(0) == "0"
    assert (
        plain("2026-11-25T12:30:11.123456+00:00") == plain("2026-11-25T12:30:11Z") == "2026-11-25 12:30:11Z"
    )


def test_a_table_a_program_and_an_empty_state(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"a": 1, "b": "x" * 100}, {"a": None, "b": "y"}]
    print_rows(rows, ["a", "b"], as_json=False, empty="none")
    assert capsys.readouterr().out.splitlines() == ["a  b", f"1  {'x' * 59}…", "-  y"]
    print_rows(rows[1:], ["a"], as_json=True, empty="none")
    assert capsys.readouterr().out == '[{"a": null, "b": "y"}]\n'
    print_rows([], ["a"], as_json=False, empty="invite somebody")
    print_rows([], ["a"], as_json=True, empty="invite somebody")
    print_fields({"name": "x", "id": None})
    assert capsys.readouterr().out == "invite somebody\n[]\nname: x\nid:   -\n"
