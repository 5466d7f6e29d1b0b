"""What admins did, read."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Query

from shmastra_cloud.admin.parts import Parts
from shmastra_cloud.audit import Asked, read

router = APIRouter()

LINES = 100
MAX_LINES = 1000
Word = Annotated[str, Query(max_length=320)]


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
