import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.shmastra_cloud.secrets_at_rest.test_vault import unnamed

from shmastra_cloud.database import Notifications, Pool, check_master_key, open_pool
from shmastra_cloud.identity import Provided, Sessions, Users
from shmastra_cloud.secrets_at_rest import (
    HEARD,
    SEALED,
    Holding,
    KeyFile,
    MasterKeyError,
    RotationRefused,
    Vault,
    rotate,
    rotation,
)
from shmastra_cloud.workspaces import Workspaces

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
USERS = 3


def quiet(_done: int, _total: int) -> None:
    return


@dataclass
class Secrets:
    """A database with secrets, as they were put in, and the file of its keys."""

    pool: Pool
    file: KeyFile
    plain: dict[tuple[str, Any], str]

    def vault(self) -> Vault:
        return Vault(*self.file.read(), file=self.file)

    async def all_open(self, vault: Vault) -> bool:
        for column in SEALED:
            which = f"{column.key} as key, {column.column} as sealed"
            for row in await self.pool.fetch(f"select {which} from {column.table}"):
                if row["sealed"] is not None:
                    plain = vault.open(row["sealed"], column.purpose)
                    assert plain == self.plain.setdefault((column.purpose, row["key"]), plain)
        return True

    async def names(self) -> set[str]:
        found = [
            await self.pool.fetch(f"select {column.column} as sealed from {column.table}")
            for column in SEALED
        ]
        return {row["sealed"][:9].hex() for rows in found for row in rows if row["sealed"] is not None}


@pytest.fixture
async def secrets(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secrets:
    monkeypatch.setattr(rotation, "BATCH", 2)
    file = KeyFile(tmp_path / "master.key")
    file.create()
    made = Secrets(pool, file, {})
    vault = made.vault()
    await check_master_key(pool, vault)
    users, store = Users(pool, vault), Workspaces(pool, vault)
    for number in range(USERS):
        user = await users.invite(f"u{number}@example.com")
        if number % 2:
            await store.ensure(user)
            await pool.execute(
                "update sandboxes set traffic_token = $2 where user_id = $1",
                user,
                vault.seal(f"t{number}", "sandboxes.traffic_token"),
            )
            secret = vault.seal(f"s{number}", "sessions.provider_secret")
            await Sessions(pool).start(user, provided=Provided("oidc", secret=secret))
    (key,) = file.read()
    old = unnamed(key, "vk_old", "users.virtual_key")
    await pool.execute("update users set virtual_key = $1 where email = 'u0@example.com'", old)
    assert await made.all_open(vault)
    return made


async def test_everything_is_sealed_anew_and_the_old_key_is_moved_away(secrets: Secrets) -> None:
    (old,) = secrets.file.read()
    told: list[tuple[int, int]] = []
    done = await rotate(secrets.pool, secrets.vault(), lambda *numbers: told.append(numbers))
    vault = secrets.vault()
    assert (done.new, done.old) == (vault.fingerprint[:8].hex(), Vault(old).fingerprint[:8].hex())
    assert done.secrets == 6
    assert told[0] == (0, 6)
    assert told[-1] == (6, 6)
    assert await secrets.all_open(vault)
    assert await secrets.names() == {f"02{done.new}"}
    assert secrets.file.read() != [old]
    assert done.moved is not None
    assert KeyFile(done.moved).read() == [old]
    await check_master_key(secrets.pool, vault)
    with pytest.raises(Exception, match="The master key was replaced at 20"):
        await check_master_key(secrets.pool, Vault(old))
    again = await rotate(secrets.pool, secrets.vault(), quiet)
    assert (again.old, again.secrets) == (done.new, 6)
    assert len(list(secrets.file.path.parent.iterdir())) == 3


class Killed(BaseException):
    """What a kill -9 is to a process, as far as one that goes on can play it."""


async def killed_before(step: int, dsn: str, vault: Vault, given: bytes | None = None) -> bool:
    """Rotate, but end before step number ``step``, a query or a file put in place; False where none is."""
    count = 0

    def counted(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count >= step:
                raise Killed
            return function(*args, **kwargs)

        return run

    pool = await open_pool(dsn, size=2)  # the process's own, which ends with it
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
            patch.setattr(asyncpg.Connection, name, counted(getattr(asyncpg.Connection, name)))
        patch.setattr(Path, "replace", counted(Path.replace))
        await rotate(pool, vault, quiet, given)
    pool.terminate()
    return count >= step


async def test_killed_before_any_step_it_can_be_run_again_and_everything_opens(
    secrets: Secrets, dsn: str
) -> None:
    step, present = 1, ""
    while await killed_before(step, dsn, secrets.vault()):
        step += 1
        vault = secrets.vault()
        await check_master_key(secrets.pool, vault)
        assert await secrets.all_open(vault), step
        done = await rotate(secrets.pool, secrets.vault(), quiet)
        assert await secrets.all_open(secrets.vault()), step
        assert await secrets.names() == {f"02{done.new}"}
        assert len(secrets.file.read()) == 1
        assert done.new != present
        present = done.new
    assert step > 30


async def test_one_that_was_killed_at_its_very_end_is_ended_and_not_begun_anew(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(KeyFile, "retire", _raise)
        with pytest.raises(OSError, match="killed"):
            await rotate(secrets.pool, secrets.vault(), quiet)
    assert len(secrets.file.read()) == 2
    done = await rotate(secrets.pool, secrets.vault(), quiet)
    assert (done.secrets, len(secrets.file.read())) == (0, 1)
    assert done.new == secrets.vault().fingerprint[:8].hex()


def _raise(*_args: object) -> None:
    raise OSError("killed")


@asynccontextmanager
async def running(dsn: str, vault: Vault) -> AsyncIterator[None]:
    """Be a web or a worker process that listens."""
    up = asyncio.Event()
    listening = Notifications(dsn, {HEARD: lambda _: vault.reload()}, up.set, pulse=Holding(vault))
    task = asyncio.create_task(listening.run())
    await asyncio.wait_for(up.wait(), 10)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_running_processes_follow_while_they_read_and_write(secrets: Secrets, dsn: str) -> None:
    vaults = [secrets.vault(), secrets.vault()]
    done = asyncio.Event()

    async def work(number: int, vault: Vault) -> int:
        users, count = Users(secrets.pool, vault), 0
        while not done.is_set():
            user = await users.invite(f"new{number}-{count}@example.com")
            assert (await users.virtual_key(user)).startswith("vk_")
            await users.rotate_key(f"new{number}-{count}@example.com")
            await Workspaces(secrets.pool, vault).ensure(user)
            count += 1
        return count

    async with running(dsn, vaults[0]), running(dsn, vaults[1]):
        async with asyncio.timeout(60):
            workers = [asyncio.create_task(work(*one)) for one in enumerate(vaults)]
            for _ in range(2):
                result = await rotate(secrets.pool, secrets.vault(), quiet)
            done.set()
            assert all([await worker for worker in workers])
    assert len(secrets.file.read()) == 1
    secrets.plain = {}
    assert await secrets.all_open(secrets.vault())
    assert await secrets.names() == {f"02{result.new}"}


async def test_nothing_is_begun_while_a_process_runs_that_could_not_follow(
    secrets: Secrets, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "FOLLOW_SECONDS", 0.3)
    elsewhere = Vault(*secrets.file.read())
    async with running(dsn, elsewhere):
        with pytest.raises(RotationRefused, match=r"shmastra .*:\d+ runs without the new key"):
            await rotate(secrets.pool, secrets.vault(), quiet)
        assert await secrets.pool.fetchval("select retiring_key_fingerprint is null from installation")
        await check_master_key(secrets.pool, elsewhere)
        assert await secrets.all_open(elsewhere)
        _, new = secrets.file.read()
        elsewhere.add(new)  # what its start with both keys does
        monkeypatch.setattr(rotation, "FOLLOW_SECONDS", 10)
        done = await rotate(secrets.pool, secrets.vault(), quiet)
        assert done.new == Vault(new).fingerprint[:8].hex()
        await Users(secrets.pool, elsewhere).invite("late@example.com")
        assert await secrets.all_open(elsewhere)


async def test_a_writer_that_began_before_is_waited_for(secrets: Secrets) -> None:
    writer = await secrets.pool.acquire()
    transaction = writer.transaction()
    await transaction.start()
    sealed = secrets.vault().seal("vk_late", "users.virtual_key")
    await writer.execute(
        "insert into users (email, virtual_key, virtual_key_hash) values ('late@x', $1, 'late')", sealed
    )
    task = asyncio.create_task(rotate(secrets.pool, secrets.vault(), quiet))
    async with asyncio.timeout(10):
        while not await secrets.pool.fetchval("select exists (select from pg_locks where not granted)"):
            await asyncio.sleep(0.01)
    await transaction.commit()
    await secrets.pool.release(writer)
    assert (await task).secrets == 7
    assert await secrets.all_open(secrets.vault())


async def test_a_key_that_could_not_be_written_never_seals(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault, before = secrets.vault(), secrets.file.read()
    with monkeypatch.context() as patch:
        patch.setattr(KeyFile, "_scratch", _full)
        with pytest.raises(MasterKeyError, match="No space left"):
            await rotate(secrets.pool, vault, quiet)
    assert (secrets.file.read(), vault.fingerprints) == (before, Vault(*before).fingerprints)
    await rotate(secrets.pool, vault, quiet)
    assert await secrets.all_open(secrets.vault())


def _full(*_args: object) -> None:
    raise OSError(28, "No space left on device")


async def test_only_one_at_once(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ALONE_SECONDS", 0.1)
    async with secrets.pool.acquire() as other:
        await other.execute("select pg_advisory_lock($1)", rotation.LOCK)
        with pytest.raises(RotationRefused, match="being replaced already"):
            await rotate(secrets.pool, secrets.vault(), quiet)
        await other.execute("select pg_advisory_unlock_all()")


async def test_keys_in_the_environment_are_replaced_by_the_spare_one(pool: Pool) -> None:
    await check_master_key(pool, Vault(A))
    user = await Users(pool, Vault(A)).invite("ann@example.com")
    with pytest.raises(RotationRefused, match="There is no new key"):
        await rotate(pool, Vault(A), quiet)
    with pytest.raises(RotationRefused, match="Which key is the new one"):
        await rotate(pool, Vault(A, B, C), quiet)
    done = await rotate(pool, Vault(B, A), quiet)
    assert (done.moved, done.secrets) == (None, 1)
    await check_master_key(pool, Vault(B))
    assert (await Users(pool, Vault(B)).virtual_key(user)).startswith("vk_")
    with pytest.raises(RotationRefused, match="There is no new key"):
        await rotate(pool, Vault(A, B), quiet)  # the retired one is not taken again
    with pytest.raises(RotationRefused, match="is or was the master key"):
        await rotate(pool, Vault(B), quiet, A)
    assert (await rotate(pool, Vault(B), quiet, C)).new == Vault(C).fingerprint[:8].hex()


async def test_one_with_a_key_that_was_given_goes_on_with_that_key(secrets: Secrets, dsn: str) -> None:
    (old,) = secrets.file.read()
    assert await killed_before(25, dsn, Vault(old), B)
    assert await secrets.pool.fetchval("select retiring_key_fingerprint is not null from installation")
    with pytest.raises(RotationRefused, match="needs the old and the new key"):
        await rotate(secrets.pool, Vault(old), quiet)
    with pytest.raises(RotationRefused, match="needs the old and the new key"):
        await rotate(secrets.pool, Vault(B), quiet)
    with pytest.raises(Exception, match="Give both keys"):
        await check_master_key(secrets.pool, Vault(B))
    await rotate(secrets.pool, Vault(old), quiet, B)
    assert await secrets.all_open(Vault(B))


async def test_a_secret_that_does_not_open_is_named_and_the_old_key_kept(secrets: Secrets) -> None:
    await secrets.pool.execute("delete from installation")
    user = await secrets.pool.fetchval(
        "update users set virtual_key = $1 where email = 'u2@example.com' returning id",
        Vault(C).seal("x", "users.virtual_key"),
    )
    await check_master_key(secrets.pool, secrets.vault())
    with pytest.raises(RotationRefused, match=rf"virtual_key of {user} does not open.*key rotate EMAIL"):
        await rotate(secrets.pool, secrets.vault(), quiet)
    assert len(secrets.file.read()) == 2
    vault = secrets.vault()
    await check_master_key(secrets.pool, vault)
    await Users(secrets.pool, vault).rotate_key("u2@example.com")
    secrets.plain = {}
    await rotate(secrets.pool, secrets.vault(), quiet)
    assert await secrets.all_open(secrets.vault())


async def test_a_column_that_this_version_does_not_know_stops_it(secrets: Secrets) -> None:
    await secrets.pool.execute(
        "create table more (id uuid primary key, secret bytea);"
        "create trigger more_sealed before insert or update of secret on more"
        " for each row execute function public.check_sealed('secret')"
    )
    with pytest.raises(RotationRefused, match=r"do not agree .*more\.secret"):
        await rotate(secrets.pool, secrets.vault(), quiet)
    await secrets.pool.execute("insert into schema_migrations (name) values ('999_more')")
    with pytest.raises(RotationRefused, match="another version"):
        await rotate(secrets.pool, secrets.vault(), quiet)


async def test_without_secrets_there_is_nothing_to_replace(dsn: str) -> None:
    pool = await open_pool(dsn, size=1)
    with pytest.raises(RotationRefused, match="no secrets yet"):
        await rotate(pool, Vault(A), quiet)
    await pool.close()
