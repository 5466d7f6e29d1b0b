"""The master key, replaced: told as lines of JSON while it goes on, ended with the one that asked for it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from pydantic import BaseModel, SecretStr

from shmastra_cloud.admin.inside import Closing
from shmastra_cloud.admin.parts import AdminParts, Parts, Who
from shmastra_cloud.audit import AuditLog
from shmastra_cloud.database import TROUBLE
from shmastra_cloud.secrets_at_rest import MasterKeyError, RotationRefused, decode_key, rotate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from shmastra_cloud.audit import Actor
    from shmastra_cloud.database import Pool
    from shmastra_cloud.secrets_at_rest import Rotation, Vault

log = logging.getLogger(__name__)
router = APIRouter()

MEDIA_TYPE = "application/x-ndjson"


class Replacement(BaseModel):
    """The new key in base64, where it is not to be made or found."""

    new_key: SecretStr | None = None


@router.post("/master-key/rotate")
async def rotate_master(here: Parts, who: Who, wanted: Replacement) -> Response:
    """Replace the master key: lines of ``done`` and ``total``, then one ``rotation`` or ``error``."""
    if not who.on_the_machine:
        text = "The master key is replaced on the cloud's machine: `shmastra key rotate-master`."
        raise HTTPException(403, {"error": text, "code": "machine_only"})
    return Closing(_lines(here, who, wanted), media_type=MEDIA_TYPE)


async def replace_master_key(
    pool: Pool, vault: Vault, who: Actor, tell: Callable[[int, int], None], given: bytes | None
) -> Rotation:
    """Replace the master key; every way to do so comes through here, and is written down here.

    Raises:
        MasterKeyError: see :func:`~shmastra_cloud.secrets_at_rest.rotate`.
    """
    async with AuditLog(pool).around(who, "key.rotate-master", "organization") as act:
        done = await rotate(pool, vault, tell, given)
        act.detail = {"new": done.new, "old": done.old, "secrets": done.secrets}
    return done


async def _replace(
    here: AdminParts, who: Actor, wanted: Replacement, tell: Callable[[int, int], None]
) -> Rotation:
    given = None
    if wanted.new_key is not None:
        given = decode_key(wanted.new_key.get_secret_value(), "The new key's file")
        if here.vault.file is None:
            raise RotationRefused(
                "The running cloud has its key from SHMASTRA_MASTER_KEY and would forget this one with its "
                "end. Add it there, behind a comma, start again, and run this without a new key."
            )
    return await replace_master_key(here.pool, here.vault, who, tell, given)


async def _lines(here: AdminParts, who: Actor, wanted: Replacement) -> AsyncGenerator[bytes, None]:
    said: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    work = asyncio.create_task(
        _replace(here, who, wanted, lambda done, total: said.put_nowait({"done": done, "total": total}))
    )
    work.add_done_callback(lambda _: said.put_nowait(None))
    try:
        while (line := await said.get()) is not None:
            yield _line(line)
        yield _line(_told(work))
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _told(work: asyncio.Task[Rotation]) -> dict[str, Any]:
    try:
        done = work.result()
    except MasterKeyError as error:
        return {"error": str(error), "code": "master_key"}
    except TROUBLE as error:
        log.warning("the rotation of the master key was cut off (%s)", type(error).__name__)
        text = (
            "The database does not answer: the rotation is not finished. Run this again; all can be opened."
        )
        return {"error": text, "code": "database_away"}
    return {
        "rotation": {
            "new": done.new,
            "old": done.old,
            "secrets": done.secrets,
            "moved": None if done.moved is None else str(done.moved),
        }
    }


def _line(what: dict[str, Any]) -> bytes:
    return json.dumps(what).encode() + b"\n"
