import json
import os
import pty
import subprocess

from tests.shmastra_cloud.housing import EMAIL, House
from tests.shmastra_cloud.webs import Web, shmastra

from shmastra_cloud.database import Pool

FIELDS = {
    "email",
    "sandbox_id",
    "status",
    "error",
    "version",
    "awake_because",
    "created_at",
    "last_active_at",
}


def test_list_and_show_have_the_fixed_shapes(web: Web, ann: House) -> None:
    [listed] = json.loads(web.shmastra("sandbox", "list", "--json").stdout)
    assert set(listed) == FIELDS
    for name in (EMAIL.upper(), ann.sandbox.sandbox_id):
        shown = json.loads(web.shmastra("sandbox", "show", name, "--json").stdout)
        events = shown.pop("events")
        assert shown == listed
        assert events[0]["to_status"] == "ready"
        assert events == json.loads(web.shmastra("sandbox", "events", name, "--json").stdout)
    assert listed["created_at"].endswith("Z")
    assert len(json.loads(web.shmastra("sandbox", "events", EMAIL, "-n", "1", "--json").stdout)) == 1
    assert EMAIL in web.shmastra("sandbox", "list").stdout.decode()


def test_pause_and_resume_are_recorded(web: Web, ann: House) -> None:
    for word, status in (("pause", "paused"), ("pause", "paused"), ("resume", "ready"), ("resume", "ready")):
        assert web.shmastra("sandbox", word, EMAIL).stdout.decode() == f"{status}\n"
    events = json.loads(web.shmastra("sandbox", "events", EMAIL, "--json").stdout)
    assert [(one["actor"], one["to_status"]) for one in events][:2] == [
        ("admin", "ready"),
        ("admin", "paused"),
    ]


async def test_what_the_status_machine_forbids_is_said(web: Web, ann: House, pool: Pool) -> None:
    await pool.execute("update sandboxes set status = 'broken'")
    for word in ("pause", "resume"):
        done = web.shmastra("sandbox", word, EMAIL)
        assert (done.returncode, b"broken" in done.stderr) == (1, True)
    assert web.shmastra("sandbox", "restart", EMAIL).stdout == b"provisioning\n"


async def test_reset_is_asked_for_and_wanted(web: Web, ann: House, pool: Pool) -> None:
    refused = web.shmastra("sandbox", "reset", EMAIL)
    assert (refused.returncode, b"--yes" in refused.stderr) == (1, True)
    assert await pool.fetchval("select status from sandboxes") == "ready"
    assert web.shmastra("sandbox", "reset", EMAIL, "--yes").returncode == 0
    assert await pool.fetchval("select reset_wanted and status = 'provisioning' from sandboxes")


async def test_delete_asks_then_destroys_the_sandbox_and_the_row(web: Web, ann: House, pool: Pool) -> None:
    for answer, status in ((b"n\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        running = web.popen("sandbox", "delete", EMAIL, stdin=theirs, stderr=subprocess.PIPE,
                            stdout=subprocess.PIPE)  # fmt: skip
        os.write(ours, answer)
        out, _ = running.communicate(timeout=60)
        assert running.returncode == status, out
        assert b"with all its files?" in out
        os.close(ours)
        os.close(theirs)
    assert not ann.sandbox.is_running()
    assert await pool.fetchval("select count(*) from sandboxes") == 0
    assert b"No sandboxes yet" in web.shmastra("sandbox", "list").stdout
    assert b"no sandbox yet" in web.shmastra("sandbox", "show", EMAIL).stderr


def test_help_is_there_under_both_names() -> None:
    for word in ("-h", "--help"):
        shown = shmastra("sandbox", word)
        assert (shown.returncode, b"ID is a sandbox's id or its user's email" in shown.stdout) == (0, True)
