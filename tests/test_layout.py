"""The habits of the house that a program can hold."""

from __future__ import annotations

import ast
import subprocess
import sys
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


CLOUD = ROOT / "src/shmastra_cloud"
FEATURES = {folder.name for folder in CLOUD.iterdir() if (folder / "__init__.py").is_file()}
# What the gateway may know of the cloud: nothing; `app.py` and `metering.py` bring the two together.
GATEWAY_MAY = {"shmastra_cloud.gateway"}


def imported(file: Path) -> set[str]:
    """Return the modules that a file names, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("file", sorted((CLOUD / "gateway").rglob("*.py")), ids=lambda file: file.name)
def test_the_gateway_knows_nothing_of_sandboxes_or_users(file: Path) -> None:
    for name in imported(file):
        foreign = name.split(".")[0] not in ("shmastra_cloud", "sandboxd", "shmastra_healer")
        assert foreign or any(name == may or name.startswith(f"{may}.") for may in GATEWAY_MAY), name


def test_the_gateway_loads_nothing_of_sandboxes_or_users() -> None:
    script = "import sys, shmastra_cloud.gateway; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith(("shmastra_cloud.", "sandboxd", "e2b"))}
    assert all(name.startswith("shmastra_cloud.gateway") for name in loaded), loaded


@pytest.mark.parametrize(
    "file",
    sorted(file for feature in FEATURES for file in (CLOUD / feature).rglob("*.py")),
    ids=lambda file: f"{file.parent.name}/{file.name}",
)
def test_a_feature_never_imports_anothers_insides(file: Path) -> None:
    mine = file.relative_to(CLOUD).parts[0]
    for name in imported(file):
        parts = name.split(".")
        if parts[0] != "shmastra_cloud" or len(parts) < 3 or parts[1] in (mine, *MODULES):
            continue
        inside = CLOUD / parts[1] / f"{parts[2]}.py"
        assert not (inside.is_file() and not _is_public(parts[1], parts[2])), f"{file} imports {name}"


MODULES = {file.stem for file in CLOUD.glob("*.py")}


def _is_public(feature: str, name: str) -> bool:
    """Tell whether a feature's `__init__` offers that name, which a file of it may happen to have too."""
    tree = ast.parse((CLOUD / feature / "__init__.py").read_text())
    return any(
        name == alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
