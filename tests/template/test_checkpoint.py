import contextlib
import json
import shutil
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.template.conftest import NODE, Project

# Opens a copied DuckDB and prints how many spans each workflow run has.
SPANS = """
import { DuckDBInstance } from '@duckdb/node-api';
const instance = await DuckDBInstance.create(process.argv[2], { access_mode: 'READ_ONLY' });
const connection = await instance.connect();
const said = await connection.run(
  'select traceId, count(distinct spanId) from span_events group by 1 order by 1');
console.log(JSON.stringify((await said.getRows()).map(([id, count]) => [id, Number(count)])));
"""


def _checkpoint(project: Project) -> set[str]:
    told = project.script("runner/checkpoint.mjs")
    assert told["ok"]
    folder = project.root / ".shmastra/checkpoint"
    assert {one["name"]: one["bytes"] for one in told["files"]} == {
        file.name: file.stat().st_size for file in folder.iterdir()
    }
    assert not list((project.root / ".shmastra").glob("checkpoint.[no]*"))
    return {one["name"] for one in told["files"]}


def _threads(project: Project) -> set[str]:
    with contextlib.closing(sqlite3.connect(project.root / ".shmastra/checkpoint/mastra.db")) as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        return {row[0] for row in copy.execute("select id from mastra_threads")}


def _spans(project: Project) -> dict[str, int]:
    script = project.root / "spans.mjs"
    script.write_text(SPANS)
    argv = [NODE, str(script), str(project.root / ".shmastra/checkpoint/traces.duckdb")]
    done = subprocess.run(argv, cwd=project.root, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


class Writer:
    """Opens threads and runs workflows, each of which leaves a trace of spans, until it is told to end."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.threads: set[str] = set()
        self.traces: set[str] = set()
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.ended.set()
            self._thread.join(30)

    def _write(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            body: dict[str, Any] = {"threadId": f"thread-{number}", "resourceId": "owner", "title": "x" * 500}
            answer = self.project.post("/memory/threads?agentId=companion", body)
            assert answer.status_code == 200, answer.text
            self.threads.add(f"thread-{number}")
            run = self.project.post("/workflows/wordCount/start-async", {"inputData": {"text": "a b c"}})
            self.traces.add(run.json()["traceId"])


def test_copies_taken_while_it_writes_are_consistent_and_miss_nothing_acknowledged(project: Project) -> None:
    project.start()
    writer = Writer(project)
    seen: dict[str, int] = {}
    with writer.writing():
        for _ in range(4):
            before = len(writer.threads)
            project.until(lambda before=before: len(writer.threads) >= before + 5)  # type: ignore[misc]
            acknowledged = set(writer.threads)
            assert _checkpoint(project) == {"mastra.db", "traces.duckdb"}
            assert acknowledged <= _threads(project)
            seen = _spans(project)
    assert seen.keys() <= writer.traces
    project.until(lambda: _checkpoint(project) != set() and writer.traces <= _spans(project).keys())
    assert len(set(_spans(project).values())) == 1  # each run leaves the same number of spans
    assert project.is_healthy()

    socket = project.root / ".shmastra/checkpoint.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    _without_a_server(project, writer)


def _without_a_server(project: Project, writer: Writer) -> None:
    """The databases of a killed server are recovered from what it had written ahead."""
    project.kill()
    shutil.rmtree(project.root / ".shmastra/checkpoint")
    log = project.root / ".storage/traces.duckdb.wal"
    assert log.exists()
    written = log.read_bytes()
    assert _checkpoint(project) == {"mastra.db", "traces.duckdb"}
    assert writer.threads <= _threads(project)
    assert writer.traces <= _spans(project).keys()
    assert log.read_bytes() == written  # the server's own recovery is left to it


def test_a_copy_that_fails_leaves_the_last_one(project: Project) -> None:
    storage = project.root / ".storage"
    storage.mkdir()
    with contextlib.closing(sqlite3.connect(storage / "own.db")) as own:
        own.execute("create table a (b)")
        own.commit()
    assert _checkpoint(project) == {"own.db"}
    (storage / "own.db").write_bytes(b"SQLite format 3\0" + b"rubbish" * 100)
    told = project.script("runner/checkpoint.mjs", status=1)
    assert told["ok"] is False
    assert told["error"]
    assert [file.name for file in (project.root / ".shmastra").iterdir()] == ["checkpoint"]
    with contextlib.closing(sqlite3.connect(project.root / ".shmastra/checkpoint/own.db")) as copy:
        assert copy.execute("select count(*) from a").fetchone() == (0,)


@pytest.mark.parametrize("name", ["checkpoint.new-999999999", "checkpoint.old-999999999"])
def test_what_a_killed_checkpoint_left_is_cleared_or_put_back(project: Project, name: str) -> None:
    left = project.root / ".shmastra" / name
    left.mkdir(parents=True)
    (left / "marker").touch()
    (project.root / ".storage").mkdir()
    assert _checkpoint(project) == set()


def test_the_socket_writes_nowhere_else(project: Project, tmp_path: Path) -> None:
    project.start()
    request = {"target": str(tmp_path), "files": []}
    code = (
        "const c = require('net').connect('.shmastra/checkpoint.sock');"
        "c.write(process.argv[1] + '\\n');"
        "c.on('data', d => process.stdout.write(d));"
    )
    done = subprocess.run(
        [NODE, "-e", code, json.dumps(request)], cwd=project.root, capture_output=True, text=True, timeout=20
    )
    assert json.loads(done.stdout) == {"ok": False, "error": "the target is elsewhere"}
