from __future__ import annotations

from typing import Any

import pytest
from benchmarks.report import gateway, met, plain, put
from benchmarks.results import figure

ABOUT = {
    "at": "2026-11-26T08:00:00+00:00",
    "machine": {"cpus": 2, "processor": "Some CPU", "kernel": "6.1", "python": "3.11.2", "load": 2.1},
    "peers": {"nginx": "1.22.1", "litellm": "1.106.12"},
}


def row(peer: str, upstream: str, measure: str, value: float | None, target: str = "", **more: Any) -> Any:
    what = f"{peer}, {upstream}: some {measure}"
    more = {"note": "", **more}
    return figure(what, value, "us", target, peer=peer, upstream=upstream, measure=measure, **more)


@pytest.mark.parametrize(
    ("value", "target", "is_met"),
    [
        (70, "<= 70", True),
        (70.1, "<= 70", False),
        (0.5, ">= 0.5", True),
        (0.49, ">= 0.5", False),
        (90, "50-90", True),
        (0, "= 0", True),
        (1, "= 0", False),
        (20, "20", True),
        (21, "20", False),
    ],
)
def test_a_target_is_met_or_missed(value: float, target: str, is_met: bool) -> None:
    assert met(value, target) is is_met


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    text = (
        "before\n<!-- a: begin -->\nold\n<!-- a: end -->\n<!-- b: begin -->\nkept\n<!-- b: end -->\nafter\n"
    )
    assert put(text, "a", "new\n") == text.replace("old", "new")
    assert put(put(text, "a", "new\n"), "a", "new\n") == put(text, "a", "new\n")


@pytest.mark.parametrize("text", ["", "<!-- a: begin -->", "<!-- a: begin --><!-- a: end --><!-- a: end -->"])
def test_a_page_without_the_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must hold"):
        put(text, "a", "new\n")


def test_servers_stand_beside_each_other_and_a_missing_figure_says_why() -> None:
    rows = [
        row("shmastra", "plain", "cpu_request", 71.04, "<= 70"),
        row("shmastra", "tls", "cpu_request", 60.0, "<= 70"),
        row("nginx", "plain", "cpu_request", 13.14),
        row("litellm", "plain", "cpu_request", 13_900.4),
        row("litellm", "plain", "cpu_event", None, note="failed: it was closed"),
        row("litellm", "plain", "delivered", None, note="failed: it was closed"),
        row("shmastra", "plain", "two_processes", None, ">= 1.8", note="not measured: 2 cores"),
    ]
    lines = gateway({**ABOUT, "figures": rows}).splitlines()
    assert "| some cpu_request | <= 70 us | 71.0 us, **missed** | 60 us |" in lines
    assert "| some two_processes | >= 1.8 us | not measured: 2 cores |  |" in lines
    assert next(line for line in lines if line.startswith("| nginx 1.22.1 |")).split("|")[2].strip() == "13.1"
    assert next(line for line in lines if line.startswith("| LiteLLM 1.106.12 |")).count("(1)") == 2
    assert "(1) failed: it was closed" in lines
    assert "13,900" in "".join(lines)


def test_plain_figures_stand_below_each_other() -> None:
    rows = [
        figure("pause, p50", 1.94, "ms"),
        figure("resume", 30, "ms", "20"),
        figure("x", None, "", note="no"),
    ]
    text = plain({**ABOUT, "figures": rows})
    assert "| pause, p50 | 1.94 ms |  |\n| resume | 30 ms | 20, **missed** |\n| x | - (no) |  |\n" in text
