import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.template.conftest import NODE, QUIET, Project

CLOCK = "tools/clock.ts"
CLOCK_LINES = 10


def _after(code: str, name: str = CLOCK) -> Callable[[Project], None]:
    """Break a project by adding lines to a file."""

    def add(project: Project) -> None:
        with (project.root / "src/mastra" / name).open("a") as file:
            file.write(code)

    return add


def _script(project: Project) -> None:
    (project.root / "src/mastra/broken.mjs").write_text("export const a = 1;\nconst b = = 2;\n")
    _after("import '../broken.mjs';\n")(project)


# What is broken, how, and where the check must find it: file, line, column, a word of the message.
BROKEN: dict[str, tuple[Callable[[Project], None], tuple[str | None, int | None, int | None], str]] = {
    "syntax error": (_after("const b = (;\n"), (f"src/mastra/{CLOCK}", 11, 12), "Expression expected"),
    "syntax error in JavaScript": (_script, ("src/mastra/broken.mjs", 2, 11), "Unexpected token"),
    "throw at import": (_after("throw new Error('boom');\n"), (f"src/mastra/{CLOCK}", 11, 7), "boom"),
    "throw of a text": (_after("throw 'a text';\n"), (None, None, None), "a text was thrown"),
    "throw a moment later": (
        _after(
            "setTimeout(() => { throw new Error('late'); });\nawait new Promise(r => setTimeout(r, 99));\n"
        ),
        (f"src/mastra/{CLOCK}", 11, 26),
        "late",
    ),
    "missing package": (_after("import x from 'nowhere';\n"), (f"src/mastra/{CLOCK}", 11, 15), "nowhere"),
    "missing file": (_after("import x from './nowhere';\n"), (f"src/mastra/{CLOCK}", 11, 15), "nowhere"),
    "missing export": (
        _after("import { nothing } from '../models';\n"),
        (f"src/mastra/{CLOCK}", 11, 10),
        "nothing",
    ),
    "enum": (_after("export enum A { B }\n"), (f"src/mastra/{CLOCK}", 11, 8), "as const"),
    "agent without a model": (
        lambda project: project.edit("agents/companion.ts", "  model: async () => getModel('fast'),\n", ""),
        ("src/mastra/agents/companion.ts", 6, 26),
        "model",
    ),
    "agent that is none": (
        lambda project: project.edit("index.ts", "companion }", "companion: { name: 'x' } as any }"),
        ("src/mastra/index.ts", None, None),
        "",
    ),
    "no mastra": (
        lambda project: project.edit("index.ts", "export const mastra", "export const other"),
        ("src/mastra/index.ts", None, None),
        "exports no `mastra`",
    ),
    "no index.ts": (
        lambda project: (project.root / "src/mastra/index.ts").unlink(),
        ("src/mastra/index.ts", None, None),
        "missing",
    ),
    "end of the process": (_after("process.exit(0);\n"), (None, None, None), "exit status 0"),
    "a wait without end": (_after("await new Promise(() => {});\n"), (None, None, None), "never comes"),
    "endless loop": (
        _after("let i = 0;\nwhile (true) {\n  i++;\n}\n"),
        (f"src/mastra/{CLOCK}", None, None),
        "endless loop",
    ),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory, packages: Path, compiled: Path) -> dict[str, Any]:
    """What the check says of every broken project; two run at a time."""

    def verdict(name: str) -> Any:
        project = Project(tmp_path_factory.mktemp("broken") / "project", packages, compiled)
        BROKEN[name][0](project)
        seconds = ["--seconds", "8"] if name == "endless loop" else []
        answer = project.script("runner/check.mjs", *seconds, status=1)
        assert not list(project.temporary.iterdir())
        assert not (project.root / ".storage").exists()
        return answer

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(BROKEN, pool.map(verdict, BROKEN), strict=True))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_code_is_rejected_with_its_place(name: str, verdicts: dict[str, Any]) -> None:
    _, (file, line, column), message = BROKEN[name]
    assert verdicts[name]["ok"] is False
    (error,) = verdicts[name]["errors"]
    assert error["file"] == file
    assert line is None or (error["line"], error["column"]) == (line, column)
    assert message in error["message"]


def test_an_endless_loop_is_found_where_it_turns(verdicts: dict[str, Any]) -> None:
    (error,) = verdicts["endless loop"]["errors"]
    assert CLOCK_LINES + 2 <= error["line"] <= CLOCK_LINES + 3


def test_good_code_passes_beside_databases_that_are_in_use(project: Project) -> None:
    # Code that names its folder by an absolute path would meet the lock of the server's DuckDB.
    storage = project.root / ".storage"
    project.edit("index.ts", "`${storage}/traces.duckdb`", f"'{storage}/traces.duckdb'")
    project.start()
    before = {file.name: file.stat().st_mtime_ns for file in storage.iterdir()}
    assert "traces.duckdb" in before
    assert project.script("runner/check.mjs", str(project.root)) == {"ok": True, "errors": []}
    assert {file.name: file.stat().st_mtime_ns for file in storage.iterdir()} == before
    assert not list(project.temporary.iterdir())


def test_people_get_lines_to_click_on(project: Project) -> None:
    assert project.run("runner/check.mjs", "--readable").stdout == "The code loads.\n"
    _after("throw new Error('boom');\n")(project)
    done = project.run("runner/check.mjs", "--readable")
    assert done.returncode == 1
    assert done.stdout == "The code does not load:\n  src/mastra/tools/clock.ts:11:7  boom\n"


def test_a_folder_without_code_and_wrong_usage_are_told_apart(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = project.script("runner/check.mjs", str(tmp_path / "empty"), status=1)
    assert "no src folder" in answer["errors"][0]["message"]
    assert project.script("runner/check.mjs", "/nowhere", status=1)["ok"] is False
    assert project.run("runner/check.mjs", "--seconds", "soon").returncode == 2


def test_a_killed_check_leaves_nothing_that_the_next_one_does_not_clear(project: Project) -> None:
    _after("while (true) {}\n")(project)
    argv = [NODE, QUIET, "runner/check.mjs"]
    killed = subprocess.Popen(argv, cwd=project.root, env=project.environ, stderr=subprocess.DEVNULL)
    project.until(lambda: bool(list(project.temporary.iterdir())))
    killed.kill()
    killed.wait()
    (left,) = project.temporary.iterdir()
    assert project.script("runner/check.mjs", "--seconds", "2", status=1)["ok"] is False
    assert not list(project.temporary.iterdir())
    assert not left.exists()
    _end_trials(left)


def _end_trials(copy: Path) -> None:
    """End the process that loaded the killed check's copy; its own watchdog would do that later."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").readlink().is_relative_to(copy):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue
