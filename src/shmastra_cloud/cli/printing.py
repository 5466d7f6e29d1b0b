"""Tables for people, JSON for programs. What may come from a sandbox never reaches a terminal as it is."""

from __future__ import annotations

import json
import re
from typing import Any

import typer

MAX_CELL = 60
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def plain(value: Any) -> str:
    """Return a value as one line without control characters: a terminal obeys those."""
    if value is None or value == "":
        return "-"
    text = str(value)
    if found := _TIME.fullmatch(text):
        return f"{found[1]} {found[2]}Z"
    return _UNSAFE.sub(" ", text).strip()


def print_json(value: Any) -> None:
    """Print what a program reads."""
    typer.echo(json.dumps(value))


def print_rows(rows: list[dict[str, Any]], columns: list[str], *, as_json: bool, empty: str) -> None:
    """Print rows as a table or as JSON; ``empty`` says what to do where there are none."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(empty)
        return
    table = [columns, *[[_cell(row[name]) for name in columns] for row in rows]]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_fields(fields: dict[str, Any]) -> None:
    """Print one thing's fields, a line each."""
    width = max(map(len, fields)) + 1
    for name, value in fields.items():
        typer.echo(f"{name + ':':<{width}} {plain(value)}")


def _cell(value: Any) -> str:
    text = plain(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
