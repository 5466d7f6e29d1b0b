"""The habits of the house that a program can hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = {ROOT / "src": ROOT / "tests", ROOT / "healer/src/shmastra_healer": ROOT / "tests/healer"}
PURE_DATA = {"__init__.py", "__main__.py"}
SOURCES = [
    (root, tests, file)
    for root, tests in ROOTS.items()
    for file in sorted(root.rglob("*.py"))
    if file.name not in PURE_DATA
]


@pytest.mark.parametrize(("root", "tests", "file"), SOURCES, ids=lambda value: value.name)
def test_every_source_file_has_its_test(root: Path, tests: Path, file: Path) -> None:
    wanted = tests / file.parent.relative_to(root) / f"test_{file.name}"
    assert wanted.is_file(), f"{file.relative_to(ROOT)} has no {wanted.relative_to(ROOT)}"


@pytest.mark.parametrize(("root", "tests", "file"), SOURCES, ids=lambda value: value.name)
def test_the_engine_and_the_healer_know_nothing_of_the_cloud(root: Path, tests: Path, file: Path) -> None:
    if "shmastra_cloud" in file.parts:
        return
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] == "shmastra_cloud" for name in names), file
