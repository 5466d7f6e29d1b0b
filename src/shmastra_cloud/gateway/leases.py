"""What the ledger needs of the database: limits, and leases of what they allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date
    from uuid import UUID

    from shmastra_cloud.gateway.budget import Limits, Standing

Kind = Literal["requests", "tokens"]


class MoneyLease(NamedTuple):
    """Units added to a slice, whether it was there before, and how its budget stands with them."""

    granted: int
    there: bool
    standing: Standing


class RateLease(NamedTuple):
    """Pieces of a minute that ends in ``seconds``, of which ``most`` are allowed (None: any number)."""

    granted: int
    most: int | None
    seconds: float


class StreamLease(NamedTuple):
    """How many streams this process may have open now, of ``most`` in all (None: any number)."""

    granted: int
    most: int | None


class LimitStore(Protocol):
    """Where limits are kept and leased from, for one process; any exception means "cannot tell now".

    What a process holds expires :data:`~shmastra_cloud.gateway.slices.LEASE_SECONDS` after it was leased or
    kept last. Nothing but ``give_back`` and ``close`` ever returns a slice to its budget.
    """

    async def limits(self) -> Mapping[UUID, Limits]:
        """Return all limits as they were set, -1 for "none", by their owner."""

    async def lease(self, slice_id: UUID, owner: UUID, day: date, need: int, least: int) -> MoneyLease:
        """Add :func:`~shmastra_cloud.gateway.budget.grant` to a slice of a day; put off its expiry."""

    async def rate(self, owner: UUID, kind: Kind, need: int, owed: int) -> RateLease:
        """Take ``need`` pieces or none, and in any case ``owed``, which were used already."""

    async def streams(self, owner: UUID, wanted: int) -> StreamLease:
        """Hold as many streams as wanted, or as other processes leave; in place of what was held."""

    async def keep(self) -> Collection[UUID]:
        """Put the expiry of all that this process holds off, and return the slices that are there."""

    async def give_back(self, amounts: Mapping[UUID, int]) -> None:
        """Return units of slices to their budgets."""

    async def close(self, slices: Collection[UUID]) -> None:
        """Return all that is in these slices; nothing of them is in use any more."""
