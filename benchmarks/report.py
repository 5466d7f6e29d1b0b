"""Puts the figures of ``benchmarks/results/`` into ``docs/benchmarks.md``: ``python -m benchmarks.report``.

A table stands there between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``; one whose results are not
there stays as it is. Nothing else of the page is touched.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"
Found = dict[str, Any]
_TITLES = {"shmastra": "**this gateway**", "nginx": "nginx", "aiohttp": "plain aiohttp", "portkey": "Portkey"}
_TITLES |= {"litellm": "LiteLLM"}
_COLUMNS = {
    "cpu_request": "CPU us per request",
    "rate": "requests/s",
    "rate_of_nginx": "of nginx's",
    "busy": "of its core",
    "added_p50": "added ms, p50",
    "added_p99": "added ms, p99",
    "cpu_event": "CPU us per event",
    "cpu_event_of_nginx": "of nginx's",
    "delivered": "events in time",
    "memory": "MB idle",
    "memory_thousand": "MB per 1,000 slow streams",
    "close_p50": "gone to closed ms, p50",
}
_SECTIONS = {"plain": "Provider without TLS", "tls": "Provider with TLS 1.3"}


def main() -> None:
    """Write the page, or print its tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--print", action="store_true", help="print the tables and leave the page alone")
    options = asked.parse_args()
    found = {
        name: json.loads((FOLDER / f"{name}.json").read_text())
        for name in ("gateway", "soak", "alone", "workspace", "sandboxd")
        if (FOLDER / f"{name}.json").exists()
    }
    tables = {name: (gateway if name == "gateway" else plain)(results) for name, results in found.items()}
    if options.print:
        print("\n".join(f"## {name}\n\n{table}" for name, table in tables.items()))
        return
    text = PAGE.read_text()
    for name, table in tables.items():
        text = put(text, name, table)
    PAGE.write_text(text)


def put(text: str, name: str, table: str) -> str:
    """Replace what stands between the two marks of that name.

    Raises:
        ValueError: the marks are not there exactly once.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{PAGE} must hold {begin} and {end} once.")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{table}{end}{rest.partition(end)[2]}"


def gateway(found: Found) -> str:
    """Write what was aimed at, and for each kind of provider a line per server."""
    rows = found["figures"]
    parts = [_where(found), _targets(rows)]
    for upstream, title in _SECTIONS.items():
        mine = [row for row in rows if row["upstream"] == upstream and row["measure"] in _COLUMNS]
        if mine:
            parts.append(f"**{title}**\n\n{_beside(mine, found['peers'])}")
    return "\n".join(parts)


def plain(found: Found) -> str:
    """Write a line per figure."""
    lines = [_line(row["what"], _value(row), row) for row in found["figures"]]
    return f"{_where(found)}\n| what | figure | target |\n|---|---|---|\n{''.join(lines)}\n"


def met(value: float, target: str) -> bool:
    """Tell whether a value is as a target like ``<= 70`` or ``50-90`` says."""
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", target)]
    return value >= numbers[0] if target.startswith(">=") else value <= numbers[-1]


def _where(found: Found) -> str:
    machine = found["machine"]
    return (
        f"Measured {found['at'][:16].replace('T', ' ')} UTC, {machine['cpus']} cores, {machine['processor']},"
        f" Linux {machine['kernel']}, Python {machine['python']};"
        f" load average over 15 minutes {machine['load']} (the benchmark alone makes about 2).\n"
    )


def _targets(rows: list[Found]) -> str:
    """Write the figures that have a target, with and without TLS beside each other."""
    by_measure: dict[str, dict[str, Found]] = {}
    for row in rows:
        if row["target"]:
            by_measure.setdefault(row["measure"], {})[row["upstream"]] = row
    lines = ["| what | target | plain | TLS |", "|---|---|---|---|"]
    for found in by_measure.values():
        one = next(iter(found.values()))
        what = one["what"].partition(": ")[2] or one["what"]
        cells = [_judged(found[upstream]) if upstream in found else "" for upstream in _SECTIONS]
        lines.append(f"| {what} | {one['target']} {one['unit']} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _beside(rows: list[Found], peers: dict[str, str]) -> str:
    names = list(dict.fromkeys(row["peer"] for row in rows))
    cells = {(row["peer"], row["measure"]): row for row in rows}
    notes: list[str] = []
    lines = ["| | " + " | ".join(_COLUMNS.values()) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name in names:
        values = [_cell(cells.get((name, measure)), notes) for measure in _COLUMNS]
        version = f" {peers[name]}" if name in peers else ""
        lines.append(f"| {_TITLES[name]}{version} | " + " | ".join(values) + " |")
    told = "".join(f"\n({at}) {note}" for at, note in enumerate(notes, 1))
    return "\n".join(lines) + "\n" + (f"{told}\n" if told else "")


def _cell(row: Found | None, notes: list[str]) -> str:
    """Return a value, or the number of the note that says why there is none."""
    if row is None:
        return ""
    if row["value"] is not None:
        return _number(row["value"])
    if row["note"] not in notes:
        notes.append(row["note"])
    return f"({notes.index(row['note']) + 1})"


def _judged(row: Found) -> str:
    if row["value"] is None:
        return str(row["note"])
    verdict = "" if met(row["value"], row["target"]) else ", **missed**"
    return f"{_number(row['value'])} {row['unit']}{verdict}"


def _line(what: str, value: str, row: Found) -> str:
    missed = row["target"] and row["value"] is not None and not met(row["value"], row["target"])
    return f"| {what} | {value} | {row['target']}{', **missed**' if missed else ''} |\n"


def _value(row: Found) -> str:
    note = f" ({row['note']})" if row.get("note") else ""
    return f"{'-' if row['value'] is None else _number(row['value'])} {row['unit']}".strip() + note


def _number(value: float) -> str:
    """Write about three digits that count, and thousands apart."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3f}"


if __name__ == "__main__":
    main()
