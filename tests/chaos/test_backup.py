"""A backup of a running cloud, restored where nothing of it is: a workspace goes on as if it had slept."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from e2b import Sandbox
from tests.chaos.conftest import Teammate
from tests.support.cloud import RunningCloud

pytestmark = pytest.mark.engine

PROJECT = "/home/user/shmastra"
FURNISH = """
mkdir -p docs && echo "# mine" > docs/mine.md && git add -A
git -c user.name=ann -c user.email=ann@example.com commit -qm mine
rm -r node_modules/typescript/lib && mkdir node_modules/typescript/lib
head -c 3000000 /dev/urandom > ~/random && ln ~/random ~/twin && ln -s /etc/passwd ~/link && mkfifo ~/pipe
truncate -s 1T ~/sparse
"""
# Two rows at a time, for as long as it goes: whenever it is looked at, they are as many.
WRITER = """python3 -c "
import sqlite3
c = sqlite3.connect('/home/user/pairs.db')
c.execute('pragma journal_mode=wal')
c.execute('create table t (a)')
n = 0
while True:
    n += 1
    c.execute('insert into t values (?)', (n,))
    c.execute('insert into t values (?)', (-n,))
    c.commit()
" """
PAIRS = """python3 -c "
import sqlite3
c = sqlite3.connect('/home/user/pairs.db')
whole = c.execute('pragma integrity_check').fetchone()[0]
print(whole, c.execute('select sum(a), count(*) > 0 from t').fetchone())
" """
LOOK = """
find ~ -maxdepth 1 -type f ! -name sparse ! -name 'pairs*' -printf '%p %m %n %s %T@\\n' | sort
readlink ~/link
stat -c '%s %b' ~/sparse; [ -p ~/pipe ] && echo pipe; ls node_modules/typescript/lib | wc -l
find ~/random docs src .git -type f ! -name index | sort | xargs sha256sum
git status --short
git log --format=%H
"""


def said(box: Sandbox, script: str) -> str:
    return str(box.commands.run(script, cwd=PROJECT, timeout=60).stdout)


@pytest.fixture
def restored(cloud: RunningCloud, tmp_path: Path) -> Iterator[RunningCloud]:
    """Give another installation, which knows the templates that every cloud on this machine starts from."""
    other = RunningCloud({"SHMASTRA_DEMO_MODEL": "off"}, name="restored")
    yield other
    other.destroy()


def test_a_workspace_is_as_it_was(
    cloud: RunningCloud, ann: Teammate, restored: RunningCloud, tmp_path: Path
) -> None:
    box, bob = ann.ready(), Teammate(cloud)
    said(box, FURNISH)
    before = said(box, LOOK)
    box.commands.run(WRITER, background=True, timeout=0)
    bob.http.get("/workspace")  # his sandbox is being made
    file = tmp_path / f"{secrets.token_hex(4)}.tar.zst"
    told = cloud.json("backup", str(file), "--without-templates")
    assert {"sandbox_id": box.sandbox_id, "email": ann.email} in told["sandboxes"]
    assert ann.http.get("/api/sandbox/status").json()["status"] == "ready"
    assert len(list((cloud.data / "engine").glob("copies"))) == 0
    key = said(box, "grep ^OPENAI_API_KEY= .env")
    bob.ready()
    cloud.stop()
    restored.shmastra("restore", str(file))
    shutil.copy(cloud.data / "master.key", restored.data / "master.key")
    end_containers(cloud)  # one machine has one sandbox of an id
    restored.start()
    again, other = Teammate(restored, ann.email), Teammate(restored, bob.email)
    there = again.ready()
    assert there.sandbox_id == box.sandbox_id
    assert said(there, LOOK) == before
    assert said(there, PAIRS) == "ok (0, 1)\n"
    assert said(there, "grep ^OPENAI_API_KEY= .env") == key
    assert catalog(there) == "200"
    assert "assistant" in again.http.get("/api/mastra/agents").json()
    assert ann.http.cookies  # a session that was open when the backup was made
    old = httpx.get(f"{restored.url}/api/me", cookies=dict(ann.http.cookies.items()))
    assert old.status_code == 401
    other.ready()


def catalog(box: Sandbox) -> str:
    """Call the gateway from inside with the key of the `.env`."""
    call = "curl -s -o /dev/null -w '%{http_code}' -H \"Authorization: Bearer $OPENAI_API_KEY\""
    return said(box, f". ./.env; {call} http://127.0.0.1:4000/api/gateway/catalog")


def end_containers(cloud: RunningCloud) -> None:
    runc = ["runc", "--root", str(cloud.data / "engine" / "runc")]
    listed = subprocess.run([*runc, "list", "--quiet"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        subprocess.run([*runc, "delete", "--force", name], check=True)
