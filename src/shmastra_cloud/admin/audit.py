"""What admins did, read."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from shmastra_cloud.admin.parts import Parts, Who
from shmastra_cloud.audit import Asked, read

router = APIRouter()

LINES = 100
MAX_LINES = 1000
Word = Annotated[str, Query(max_length=320)]


class Note(BaseModel):
    """What a command has done by itself on the cloud's machine."""

    action: Literal["template.build"]
    target: Annotated[str, Field(max_length=320)]
    failed: bool = False


@router.post("/audit", status_code=201)
async def note(here: Parts, who: Who, noted: Note) -> dict[str, str]:
    """Write down what was done on the machine, for whoever did it there."""
    if not who.on_the_machine:
        text = "What is done on the cloud's machine is told from there."
        raise HTTPException(403, {"error": text, "code": "elsewhere"})
    await here.audit.record(who, noted.action, noted.target, failed=noted.failed)
    return {"action": noted.action}


@router.get("/audit")
async def lines(  # noqa: PLR0913 -- one parameter a condition
    here: Parts,
    *,
    limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = LINES,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    since: dt.datetime | None = None,
    who: Word | None = None,
    action: Word | None = None,
    target: Word | None = None,
) -> dict[str, Any]:
    """Return what was done, newest first; ``next`` is to be asked for as ``before``, null at the end."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=dt.UTC)
    return await read(here.pool, Asked(limit, before, since, who, action, target))
