"""The command as it is typed: over a running cloud's socket, and on the database where none runs."""

import asyncio
import base64
import os
import sys
import time
from pathlib import Path

import pytest
from tests.shmastra_cloud.webs import shmastra, web_process

from shmastra_cloud.cli import master_key
from shmastra_cloud.database import Pool, check_master_key
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import KeyFile, Vault

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
USERS = 450  # three batches


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


async def test_a_running_cloud_follows_and_says_what_to_do_with_the_old_key(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    file = KeyFile(tmp_path / "master.key")
    with web_process(tmp_path, DATABASE_URL=dsn) as web:
        assert web.shmastra("user", "invite", "ann@example.com").returncode == 0
        (old,) = file.read()
        done = web.shmastra("key", "rotate-master")
        assert done.returncode == 0, done.stderr
        (new,) = file.read()
        assert new != old
        assert f"is in {file.path}.retired-".encode() in done.stdout
        assert b"backups that were made before" in done.stdout
        assert b"secrets sealed anew: 1." in done.stdout
        assert web.shmastra("user", "invite", "bob@example.com").returncode == 0
        assert text(new) not in (done.stdout + done.stderr).decode() + web.log.read_text()
        given = web.shmastra("key", "rotate-master", "--new-key-file", "-", stdin=text(B).encode())
        assert given.returncode == 0, given.stderr
        assert file.read() == [B]
    for user in await pool.fetch("select id from users"):
        assert (await Users(pool, Vault(B)).virtual_key(user["id"])).startswith("vk_")


async def test_keys_in_the_environment_are_replaced_in_two_starts(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_MASTER_KEY": text(A)}
    with web_process(tmp_path, **environ) as web:
        assert web.shmastra("user", "invite", "ann@example.com").returncode == 0
        refused = web.shmastra("key", "rotate-master")
        assert refused.returncode == 1
        assert b"openssl rand -base64 32" in refused.stderr
    with web_process(tmp_path, **environ | {"SHMASTRA_MASTER_KEY": f"{text(A)},{text(B)}"}) as web:
        done = web.shmastra("key", "rotate-master")
        assert b"Let SHMASTRA_MASTER_KEY hold the new key alone" in done.stdout, done.stderr
        assert web.shmastra("user", "invite", "bob@example.com").returncode == 0
    old = shmastra("user", "list", SHMASTRA_DATA=str(tmp_path), **environ)
    assert (old.returncode, b"The master key was replaced at" in old.stderr) == (1, True)
    await check_master_key(pool, Vault(B))


async def test_a_process_that_is_killed_in_the_middle_is_gone_on_with(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    file = KeyFile(tmp_path / "master.key")
    file.create()
    vault = Vault(*file.read(), file=file)
    await check_master_key(pool, vault)
    sealed = [vault.seal(f"vk_{number}", "users.virtual_key") for number in range(USERS)]
    await pool.execute(
        "insert into users (email, virtual_key, virtual_key_hash)"
        " select 'u' || n || '@x', s, sha256(s) from unnest($1::bytea[]) with ordinality u (s, n)",
        sealed,
    )
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": dsn, "SHMASTRA_DATA": str(tmp_path)}
    words = [sys.executable, "-m", "shmastra_cloud", "key", "rotate-master"]
    anew = f"select count(*) from users where substring(virtual_key for 9) <> '\\x{sealed[0][:9].hex()}'"
    async with pool.acquire() as other, other.transaction():
        await other.execute(
            "select from users where id = (select id from users order by id offset 300 limit 1) for update"
        )
        process = await asyncio.create_subprocess_exec(*words, env=environ)
        deadline = time.monotonic() + 30
        while await pool.fetchval(anew) == 0:
            assert time.monotonic() < deadline
            assert process.returncode is None
        process.kill()
        await process.wait()
    assert await pool.fetchval(anew) == 200
    both = Vault(*file.read(), file=file)
    await check_master_key(pool, both)
    rows = await pool.fetch("select virtual_key from users")
    assert {both.open(row["virtual_key"], "users.virtual_key") for row in rows} == {
        f"vk_{number}" for number in range(USERS)
    }
    done = shmastra("key", "rotate-master", **environ)
    assert b"secrets sealed anew: 250." in done.stdout, done.stderr
    (new,) = file.read()
    rows = await pool.fetch("select virtual_key from users")
    assert {Vault(new).open(row["virtual_key"], "users.virtual_key") for row in rows} == {
        f"vk_{number}" for number in range(USERS)
    }


def test_where_nothing_runs_and_nothing_can_be_asked_it_says_so(tmp_path: Path) -> None:
    done = shmastra("key", "rotate-master", SHMASTRA_DATA=str(tmp_path))
    assert (done.returncode, b"No cloud answers" in done.stderr) == (1, True)


def test_progress_is_shown_on_a_terminal_from_half_a_second_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = master_key.Shown()
    shown(1, 10)
    assert capsys.readouterr().err == ""
    shown._next = 0
    shown(5, 10)
    shown(6, 10)
    assert capsys.readouterr().err == "\r5 of 10 secrets sealed anew "
