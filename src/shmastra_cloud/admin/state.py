"""What was used, and how the cloud's dependencies are."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any, Literal

from fastapi import APIRouter

from shmastra_cloud.admin.parts import Parts
from shmastra_cloud.doctor import check_cloud, provider_keys
from shmastra_cloud.metering import usage_by

router = APIRouter()


@router.get("/users/usage")
async def usage(
    here: Parts, by: Literal["user", "model", "day"] = "user", since: dt.datetime | None = None
) -> list[dict[str, Any]]:
    """Return what was used, by user, model or day (UTC)."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=dt.UTC)
    return await usage_by(here.pool, by, since)


@router.get("/doctor")
async def doctor(here: Parts, *, keys: bool = False) -> list[dict[str, str]]:
    """Return what only a running cloud can tell of its dependencies; ``keys``: providers are asked, too."""
    found = await check_cloud(here.settings, here.pool, here.engine)
    if keys:
        found += await provider_keys(os.environ)
    return [check.as_json() for check in found]
