import json
from pathlib import Path

import pytest
from tests.shmastra_cloud.webs import MASTER_KEY, shmastra
from typer.testing import CliRunner

from shmastra_cloud.cli import app
from shmastra_cloud.cli.budgets import _rows, _value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("usd_per_day", "1.50", "1.50"),
        ("usd_per_day", "none", "none"),
        ("streams", "4", 4),
        ("streams", "default", "default"),
        ("tokens_per_minute", "0", 0),
    ],
)
def test_a_limit_is_a_number_or_a_word(name: str, text: str, value: object) -> None:
    assert _value(name, text) == value


def test_what_was_set_and_what_applies_is_shown() -> None:
    month = {
        "limit": 10.0,
        "spent": 1.0,
        "reserved": 0.5,
        "remaining": 8.5,
        "resets_at": "2026-12-01T00:00:00+00:00",
    }
    limits = {"usd_per_month": 10.0, "streams": "none", "usd_per_day": "default"}
    rows = _rows({"limits": limits, "budget": {"usd_per_month": month}})
    assert [(row["limit"], row["set"], row["remaining"]) for row in rows] == [
        ("usd per month", 10.0, 8.5),
        ("streams", "none", None),
    ]


@pytest.mark.parametrize("wrong", [(), ("a@b.c", "--default"), ("a@b.c", "--streams", "some")], ids=repr)
def test_who_is_meant_and_how_much_must_be_said(wrong: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["key", "budget", *wrong]).exit_code == 2


def test_budgets_are_set_on_a_database_where_no_cloud_runs(dsn: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_MASTER_KEY": MASTER_KEY, "SHMASTRA_DATA": str(tmp_path)}
    environ |= {"SHMASTRA_ENGINE_URL": "http://127.0.0.1:1", "SHMASTRA_ENGINE_KEY": "e2b_test"}
    line = ("key", "budget", "--organization")
    done = shmastra(*line, "--usd-per-month", "20", "--streams", "4", **environ)
    assert "usd per month" in done.stdout.decode()
    cleared = json.loads(shmastra(*line, "--none", "--streams", "9", "--json", **environ).stdout)
    assert (cleared["who"], set(cleared["budget"])) == ("organization", {"streams"})
    nobody = shmastra("key", "budget", "bob@example.com", **environ)
    assert (nobody.returncode, b"bob@example.com" in nobody.stderr) == (1, True)
