"""Writing the log."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import anyio

from shmastra_cloud.audit.words import clean, cleaned, details
from shmastra_cloud.database import TROUBLE, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shmastra_cloud.audit.actor import Actor
    from shmastra_cloud.database import Pool

log = logging.getLogger(__name__)

OUTCOME_SECONDS = 10
_Outcome = Literal["done", "begun", "failed"]
_INSERT = (
    "insert into audit_log (action, outcome, begun, actor_kind, actor_id, actor, token, origin, target_id,"
    " target, detail) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id"
)


@dataclass
class Act:
    """Something that is being done; ``pool`` is the transaction that it and its line are in.

    Whom it is done to, and details, may be set while it is done; details hold no secrets.
    """

    pool: Pool
    target: str | None = None
    target_id: UUID | str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class AuditLog:
    """Writes what is done."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def within(
        self, actor: Actor, action: str, target: str | None = None, **detail: Any
    ) -> AsyncIterator[Act]:
        """Do something in one transaction with its line; an error leaves neither behind."""
        async with transaction(self._pool) as pool:
            act = Act(pool, target, detail=detail)
            yield act
            await _write(act, actor, action, "done")

    @asynccontextmanager
    async def around(
        self,
        actor: Actor,
        action: str,
        target: str | None = None,
        target_id: UUID | str | None = None,
        **detail: Any,
    ) -> AsyncIterator[Act]:
        """Write a line, do something, and write how that ended; an error is written by its kind."""
        act = Act(self._pool, target, target_id, detail)
        begun = await _write(act, actor, action, "begun")
        act.detail = {}
        try:
            yield act
        except BaseException as error:
            act.detail.setdefault("error", type(error).__name__)
            await self._ended(act, actor, action, "failed", begun)
            raise
        await self._ended(act, actor, action, "done", begun)

    async def record(
        self, actor: Actor, action: str, target: str | None = None, *, failed: bool = False, **detail: Any
    ) -> None:
        """Write a line of what was done elsewhere."""
        act = Act(self._pool, target, detail=detail)
        await _write(act, actor, action, "failed" if failed else "done")

    async def _ended(self, act: Act, actor: Actor, action: str, outcome: _Outcome, begun: int) -> None:
        """Write how something ended, even where whoever asked for it has gone."""
        with anyio.move_on_after(OUTCOME_SECONDS, shield=True) as limit:
            try:
                await _write(act, actor, action, outcome, begun)
            except TROUBLE as error:
                log.warning("how %s ended could not be written (%s)", action, type(error).__name__)
        if limit.cancelled_caught:
            log.warning("how %s ended could not be written in time", action)


async def _write(act: Act, actor: Actor, action: str, outcome: _Outcome, begun: int | None = None) -> int:
    number: int = await act.pool.fetchval(
        _INSERT,
        action,
        outcome,
        begun,
        actor.kind,
        cleaned(actor.id),
        clean(actor.name),
        cleaned(actor.token),
        clean(actor.origin),
        None if act.target_id is None else clean(str(act.target_id)),
        cleaned(act.target),
        json.dumps(details(act.detail)),
    )
    return number
