"""Where figures go: JSON for programs, text for people, both under ``benchmarks/results/``."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def write(name: str, rows: list[dict[str, Any]]) -> None:
    """Write and print a table of ``what``, ``value``, ``unit`` and, where there is one, ``target``."""
    FOLDER.mkdir(exist_ok=True)
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    found = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "figures": rows}
    (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    text = "\n".join(_line(row) for row in rows) + "\n"
    (FOLDER / f"{name}.txt").write_text(text)
    print(text, end="", flush=True)


def figure(what: str, value: float, unit: str, target: str = "") -> dict[str, Any]:
    """Return one row."""
    return {"what": what, "value": round(value, 3), "unit": unit, "target": target}


def _line(row: dict[str, Any]) -> str:
    target = f"   (target {row['target']})" if row["target"] else ""
    return f"{row['what']:<64} {row['value']:>10.3f} {row['unit']}{target}"
