"""Where figures go: JSON for programs, text for people, both under ``benchmarks/results/``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def write(name: str, rows: list[dict[str, Any]], more: Mapping[str, Any] | None = None) -> None:
    """Write and print a table of ``what``, ``value``, ``unit`` and, where there is one, ``target``."""
    FOLDER.mkdir(exist_ok=True)
    machine = {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[2], 1),
    }
    found = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, **(more or {})}
    (FOLDER / f"{name}.json").write_text(json.dumps({**found, "figures": rows}, indent=1) + "\n")
    text = "\n".join(_line(row) for row in rows) + "\n"
    (FOLDER / f"{name}.txt").write_text(text)
    print(text, end="", flush=True)


def figure(what: str, value: float | None, unit: str, target: str = "", **more: Any) -> dict[str, Any]:
    """Return one row; a value of None is one that was not measured, and a ``note`` says why."""
    return {
        "what": what,
        "value": None if value is None else round(value, 3),
        "unit": unit,
        "target": target,
        **more,
    }


def _line(row: dict[str, Any]) -> str:
    target = f"   (target {row['target']})" if row["target"] else ""
    note = f"   {row['note']}" if row.get("note") else ""
    value = f"{'-':>10}" if row["value"] is None else f"{row['value']:>10.3f}"
    return f"{row['what']:<64} {value} {row['unit']}{target}{note}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")
