"""The reference pages and the code say the same: what is there is explained, what is explained is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from shmastra_cloud.cli import app
from shmastra_cloud.frames import Kind
from shmastra_cloud.settings import Settings
from shmastra_cloud.web_process import GATEWAY, MASTRA

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "reference"
EVERYWHERE = {"--data", "--profile", "--url", "--help", "-h"}
VARIABLE = re.compile(
    r"(?:SHMASTRA|E2B|SANDBOXD|DATABASE|OPENAI|ANTHROPIC|GOOGLE|GEMINI|COMPOSIO|GROQ|MISTRAL|DEEPSEEK|XAI|OPENROUTER"
    r"|TOGETHER|FIREWORKS|CEREBRAS|AZURE|VLLM|OLLAMA|OTEL|WORKOS)_[A-Z0-9_]*[A-Z0-9]"
)
FOR_TESTS = {"SHMASTRA_PROC"}  # another machine's /proc, in the tests of scripts/preflight


def commands(group: Any, path: str = "shmastra") -> dict[str, Any]:
    """Return every command by its words."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        words = f"{path} {name}"
        found |= commands(command, words) if hasattr(command, "commands") else {words: command}
    return found


def sections() -> dict[str, str]:
    """Return the text of each command's section by its words, without what they take."""
    found: dict[str, str] = {}
    for part in re.split(r"^### ", (DOCS / "cli.md").read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        words = re.fullmatch(r"`(shmastra(?: [a-z][a-z-]*)+)[^`]*`", heading)
        assert words, f"cli.md has the heading {heading!r}"
        assert words[1] not in found, f"{words[1]} is explained twice"
        found[words[1]] = text.partition("\n## ")[0]
    return found


COMMANDS = commands(typer.main.get_command(app))


def test_every_command_is_explained_and_no_other() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_option_is_explained_and_no_other(words: str) -> None:
    command, text = COMMANDS[words], sections()[words]
    there = {name for one in command.params for name in one.opts if name.startswith("-")} - EVERYWHERE
    told = set(re.findall(r"(?<=`)--?[a-z][a-z-]*", text))
    assert told - EVERYWHERE == there
    assert command.help, f"{words} has no help"


def constants(folder: Path) -> set[str]:
    """Return the strings of all source files that look like variables."""
    return {
        node.value
        for file in folder.rglob("*.py")
        if file.name != "env_file.py"  # what a sandbox is given, explained below the tables
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)
    }


def test_every_variable_is_explained_and_no_other() -> None:
    rows = [
        line.split("|")[1] for line in (DOCS / "environment.md").read_text().splitlines() if line[:1] == "|"
    ]
    told = [name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)]
    assert len(told) == len(set(told)), "a variable is explained twice"
    there = constants(ROOT / "src")
    there |= {str(field.validation_alias) for field in Settings.model_fields.values()}
    for script in (ROOT / "scripts").iterdir():
        there |= set(VARIABLE.findall(script.read_text()))
    assert set(told) == there - FOR_TESTS


def test_what_a_sandbox_is_given_is_explained() -> None:
    text = (DOCS / "environment.md").read_text().partition("## In a sandbox")[2]
    source = ast.parse((ROOT / "src/shmastra_cloud/workspaces/env_file.py").read_text())
    names = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant)}
    there = {name for name in names if isinstance(name, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", name)}
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text)) == there


def routes() -> set[str]:
    """Return every route that a decorator makes, as ``GET /path``, and those that `app.py` adds."""
    found = {"GET /health", "GET /ready", "GET /metrics", f"ANY {GATEWAY}*", f"ANY {MASTRA}*"}
    for file in (ROOT / "src/shmastra_cloud").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            for made in getattr(node, "decorator_list", []):
                if isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute) and made.args:
                    method, path = made.func.attr.upper(), made.args[0]
                    if method in ("GET", "POST", "PUT", "PATCH", "DELETE") and isinstance(path, ast.Constant):
                        found.add(f"{method} {path.value}")
    return found


def test_every_route_is_explained_and_no_other() -> None:
    told = re.findall(r"^\| `([A-Z]+ /[^`]*)`", (DOCS / "http.md").read_text(), flags=re.MULTILINE)
    assert len(told) == len(set(told)), "a route is explained twice"
    assert set(told) == routes()


def test_every_frame_is_explained() -> None:
    rows = re.findall(r"^\| (\d) \|", (DOCS / "http.md").read_text(), flags=re.MULTILINE)
    assert [int(row) for row in rows] == [int(kind) for kind in Kind]
