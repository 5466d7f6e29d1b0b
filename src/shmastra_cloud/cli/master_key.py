"""``shmastra key rotate-master``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shmastra_cloud.cli.ask import ORIGIN, away, client, refusal
from shmastra_cloud.cli.common import Commands, Failed, dsn, here_only, settings
from shmastra_cloud.cli.printing import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from shmastra_cloud.settings import Settings

SILENCE_SECONDS = 150  # one statement may read a whole table
EVERY_SECONDS = 0.5
KEEP = (
    "It opens nothing in the database any more, only backups that were made before: keep it as long as you "
    "keep those, apart from them; or make a new backup now and destroy the old ones with it."
)
IF_KNOWN = (
    "If somebody else may have it and a copy of the database, replace what it sealed too: "
    "`shmastra key rotate EMAIL` for each user."
)


def add_to(key: Commands) -> None:
    """Add the command to the group of keys."""
    key.command("rotate-master")(rotate_master)


@here_only
def rotate_master(
    *,
    new_key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file",
            metavar="FILE",
            help="Take the new key (32 bytes in base64) from here (-: standard input), and make none.",
        ),
    ] = None,
) -> None:
    """Replace the key that seals the secrets in the database, while everything runs; can be run again."""
    found, given = settings(), None if new_key_file is None else _read(new_key_file)
    rotation = _over_socket(found, given)
    if rotation is None:
        rotation = asyncio.run(_directly(found, given))
    _tell(rotation)


def _read(file: Path) -> str:
    return (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()


def _over_socket(found: Settings, given: str | None) -> dict[str, Any] | None:
    """Have the running cloud do it; None where none runs here and the database can be asked instead."""
    import httpx

    try:
        with (
            client(found, SILENCE_SECONDS) as http,
            http.stream("POST", f"{ORIGIN}/master-key/rotate", json={"new_key": given}) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise refusal(answer)
            return _last(answer)
    except httpx.ConnectError as error:
        if found.database_url is not None and "Errno 13" not in str(error):
            return None
        raise away(found, error) from error
    except httpx.HTTPError as error:
        raise Failed(
            f"The connection to the cloud broke ({type(error).__name__}), so the rotation may not be "
            "finished. Run this again; whatever is stored can be opened."
        ) from error


def _last(answer: httpx.Response) -> dict[str, Any]:
    shown = Shown()
    for line in answer.iter_lines():
        said = json.loads(line)
        if "error" in said:
            raise Failed(plain(said["error"]))
        if "rotation" in said:
            return dict(said["rotation"])
        shown(said["done"], said["total"])
    raise Failed("The cloud ended before the rotation did. Run this again; whatever is stored can be opened.")


async def _directly(found: Settings, given: str | None) -> dict[str, Any]:
    from shmastra_cloud.admin import replace_master_key
    from shmastra_cloud.audit import this_user
    from shmastra_cloud.database import check_schema, open_pool
    from shmastra_cloud.secrets_at_rest import decode_key, load_vault

    key = None if given is None else decode_key(given, "The new key's file")
    vault, pool = load_vault(found), await open_pool(dsn(found), patience=5, size=2)
    try:
        await check_schema(pool)
        done = await replace_master_key(pool, vault, this_user(), Shown(), key)
    finally:
        await pool.close()
    return {"new": done.new, "old": done.old, "secrets": done.secrets, "moved": done.moved}


class Shown:
    """Shows on a terminal, from half a second on, how many secrets are done."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY_SECONDS

    def __call__(self, done: int, total: int) -> None:
        """Take how far it has come."""
        if time.monotonic() >= self._next and sys.stderr.isatty():
            self._next = time.monotonic() + EVERY_SECONDS
            sys.stderr.write(f"\r{done} of {total} secrets sealed anew ")
            sys.stderr.flush()


def _tell(rotation: dict[str, Any]) -> None:
    for line in _sentences(rotation):
        typer.echo(line)


def _sentences(rotation: dict[str, Any]) -> Iterator[str]:
    yield f"The master key is replaced by {rotation['new']}; secrets sealed anew: {rotation['secrets']}."
    if rotation["moved"] is None:
        yield (
            f"Let SHMASTRA_MASTER_KEY hold the new key alone, everywhere; the old one, {rotation['old']}, is "
            f"retired. {KEEP}"
        )
    else:
        yield f"The old key, {rotation['old']}, is in {rotation['moved']} now. {KEEP}"
    yield IF_KNOWN
