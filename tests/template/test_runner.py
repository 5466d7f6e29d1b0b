import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.support.cloud import free_port
from tests.template.conftest import NODE, QUIET, Project

BOOM = "throw new Error('boom');\n"
AGENT = """import { Agent } from '@mastra/core/agent';
import { getModel } from '../../models';

export const greeter = new Agent({
  id: 'greeter', name: 'Greeter', instructions: 'You greet.', model: async () => getModel('fast'),
});
"""


def _server(project: Project) -> int:
    pid = project.told["pid"]
    assert isinstance(pid, int)
    return pid


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() != b""


def test_good_changes_are_used_and_bad_ones_are_not(project: Project) -> None:
    project.start()
    assert set(project.agents()) == {"assistant", "companion"}
    first = _server(project)

    with (project.root / "src/mastra/tools/clock.ts").open("a") as file:
        file.write(BOOM)
    project.until(lambda: bool(project.told["lastRejected"]))
    (error,) = project.told["lastRejected"]["errors"]
    assert (error["file"], error["message"]) == ("src/mastra/tools/clock.ts", "boom")
    assert project.told["state"] == "running"
    assert project.is_healthy()

    project.edit("tools/clock.ts", BOOM, "")  # taken back: what runs is what stands there
    project.until(lambda: project.told["lastRejected"] is None)
    assert _server(project) == first

    _a_new_folder(project)
    _a_file_replaced_by_renaming(project)
    _nothing_for_editors_files_and_touches(project)
    _src_replaced_as_a_whole(project)
    _packages_that_come_later(project)
    _the_present_env_file(project)


def _a_new_folder(project: Project) -> None:
    folder = project.root / "src/mastra/agents/greeter"
    folder.mkdir()
    (folder / "index.ts").write_text(AGENT)
    project.edit("index.ts", "agents: { assistant,", "agents: { greeter, assistant,")
    project.edit(
        "index.ts", "import { clock }", "import { greeter } from './agents/greeter';\nimport { clock }"
    )
    project.until(lambda: "greeter" in project.agents())
    (folder / "index.ts").write_text(AGENT.replace("'Greeter'", "'Renamed'"))  # the new folder is watched too
    project.until(lambda: project.agents().get("greeter", {}).get("name") == "Renamed")


def _a_file_replaced_by_renaming(project: Project) -> None:
    subprocess.run(
        ["sed", "-i", "s/'Renamed'/'Again'/", "src/mastra/agents/greeter/index.ts"], cwd=project.root
    )
    project.until(lambda: project.agents().get("greeter", {}).get("name") == "Again")


def _nothing_for_editors_files_and_touches(project: Project) -> None:
    pid = _server(project)
    for name in (".clock.ts.swp", "clock.ts~", "4913", "#clock.ts#"):
        (project.root / "src/mastra/tools" / name).write_text(BOOM)
    (project.root / "src/mastra/tools/clock.ts").touch()
    time.sleep(1.5)
    assert (_server(project), project.told["state"]) == (pid, "running")


def _src_replaced_as_a_whole(project: Project) -> None:
    other = project.root / "other"
    shutil.copytree(project.root / "src", other)
    index = other / "mastra/agents/greeter/index.ts"
    index.write_text(index.read_text().replace("'Again'", "'Swapped'"))
    shutil.rmtree(project.root / "src")
    other.rename(project.root / "src")
    project.until(lambda: project.agents().get("greeter", {}).get("name") == "Swapped")
    project.edit("agents/greeter/index.ts", "'Swapped'", "'Seen'")
    project.until(lambda: project.agents().get("greeter", {}).get("name") == "Seen")


def _packages_that_come_later(project: Project) -> None:
    # The packages' folder is everybody's: a link is turned into a folder of links.
    shared = (project.root / "node_modules").resolve()
    own = project.root / "node_modules.new"
    own.mkdir()
    for entry in shared.iterdir():
        (own / entry.name).symlink_to(entry)
    (project.root / "node_modules").unlink()
    own.rename(project.root / "node_modules")
    project.edit(
        "agents/greeter/index.ts", "import { Agent }", "import { name } from 'later';\nimport { Agent }"
    )
    project.edit("agents/greeter/index.ts", "'Seen'", "name")
    project.until(lambda: bool(project.told["lastRejected"]))
    assert "later" in project.told["lastRejected"]["errors"][0]["message"]
    package = project.root / "node_modules/later"
    package.mkdir()
    (package / "package.json").write_text('{"name": "later", "type": "module", "exports": "./index.js"}')
    (package / "index.js").write_text("export const name = 'Later';\n")
    project.until(lambda: project.agents().get("greeter", {}).get("name") == "Later")


def _the_present_env_file(project: Project) -> None:
    project.edit("agents/greeter/index.ts", "name: name", "name: process.env.GREETING ?? 'none'")
    (project.root / ".env").write_text("GREETING=hello\n")
    project.until(lambda: project.agents().get("greeter", {}).get("name") == "hello")


def test_broken_from_the_start_it_waits_and_starts_by_itself(project: Project) -> None:
    with (project.root / "src/mastra/tools/clock.ts").open("a") as file:
        file.write(BOOM)
    project.start("broken")
    assert project.process is not None
    (error,) = project.told["lastRejected"]["errors"]
    assert (error["file"], error["line"], error["message"]) == ("src/mastra/tools/clock.ts", 11, "boom")
    assert project.told["pid"] is None
    assert not project.is_healthy()
    assert "src/mastra/tools/clock.ts:11:7  boom" in project.log.read_text()
    assert project.process.poll() is None

    project.edit("tools/clock.ts", BOOM, "throw new Error('other');\n")  # still broken, in another way
    project.until(lambda: project.told["lastRejected"]["errors"][0]["message"] == "other")
    assert project.told["state"] == "broken"
    project.edit("tools/clock.ts", "throw new Error('other');\n", "")
    project.until(lambda: project.told["state"] == "running")
    assert project.told["lastRejected"] is None
    assert project.is_healthy()


def test_a_crash_of_the_server_ends_the_runner(project: Project) -> None:
    project.start()
    assert project.process is not None
    os.kill(_server(project), signal.SIGKILL)
    assert project.process.wait(10) != 0
    assert project.told["state"] == "crashed"


def _one_more_beside_it_has_data_and_a_port_of_its_own(project: Project) -> None:
    port = free_port()
    second = subprocess.Popen(
        [NODE, QUIET, "runner/main.mjs"],
        cwd=project.root,
        env={**project.environ, "PORT": str(port)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        file = project.root / f".shmastra/beside-{port}/runner.json"
        project.until(lambda: file.exists() and json.loads(file.read_text())["state"] == "running")
        assert project.told["state"] == "running"
        assert (project.root / f".shmastra/beside-{port}/storage/mastra.db").exists()
        assert project.is_healthy()
    finally:
        second.terminate()
        second.wait(15)


def test_a_killed_runner_leaves_nothing_in_the_way_of_the_next(project: Project) -> None:
    project.start()
    assert project.process is not None
    server = _server(project)
    project.process.kill()
    project.process.wait(5)
    project.start()
    assert not _alive(server)
    project.until(project.is_healthy)
    _one_more_beside_it_has_data_and_a_port_of_its_own(project)
    project.stop()
    assert (project.told["state"], project.told["pid"]) == ("stopped", None)


def test_a_full_disk_ends_no_server_and_leaves_nothing_untrue(project: Project) -> None:
    folder = project.root / ".shmastra"
    (folder / "checkpoint.sock/in the way").mkdir(parents=True)
    (folder / "runner.json").write_text(json.dumps({"state": "running", "since": "", "lastRejected": None}))
    (folder / "runner.json.new").symlink_to("/dev/full")
    project.launch()
    assert project.process is not None
    project.until(project.is_healthy)
    assert not (folder / "runner.json").exists()
    assert "cannot say that it is starting: ENOSPC" in project.log.read_text()
    project.edit("agents/companion.ts", "name: 'Companion'", "name: 'Thrifty'")
    project.until(lambda: project.agents().get("companion", {}).get("name") == "Thrifty")

    (folder / "runner.json.new").unlink()  # there is room again
    with (project.root / "src/mastra/tools/clock.ts").open("a") as file:
        file.write(BOOM)
    project.until(lambda: project.told["state"] == "running" and bool(project.told["lastRejected"]))
    (folder / "runner.json.new").symlink_to("/dev/full")
    project.process.send_signal(signal.SIGTERM)
    assert project.process.wait(15) == 0


def test_on_a_full_disk_it_still_says_that_it_is_the_first(project: Project) -> None:
    file = project.root / ".shmastra/runner.pid"
    file.parent.mkdir()
    file.write_text("999999999".ljust(16))
    code = (
        "import { readFileSync, symlinkSync } from 'node:fs';"
        "import { settle } from './runner/place.mjs';"
        "symlinkSync('/dev/full', `.shmastra/runner.pid.${process.pid}`);"
        "const { isFirst } = settle(process.cwd());"
        "const told = Number(readFileSync('.shmastra/runner.pid', 'utf8'));"
        "console.log(JSON.stringify([isFirst, told === process.pid]));"
    )
    assert project.script("--input-type=module", "-e", code) == [True, True]


def test_more_folders_than_may_be_watched_are_looked_at_now_and_then(project: Project) -> None:
    for number in range(600):
        (project.root / f"src/many/{number}").mkdir(parents=True)
    project.start()
    assert "every 2 s" in project.log.read_text()
    project.edit("agents/companion.ts", "name: 'Companion'", "name: 'Polled'")
    project.until(lambda: project.agents().get("companion", {}).get("name") == "Polled")
