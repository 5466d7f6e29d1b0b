"""A database of budgets in memory, shared by the processes of a test; held against the real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID, uuid4

from shmastra_cloud.gateway import (
    EVERYONE,
    ORGANIZATION,
    Limits,
    MoneyLease,
    Purse,
    RateLease,
    Standing,
    StreamLease,
    UsageRow,
)
from shmastra_cloud.gateway.budget import grant


@dataclass
class Held:
    owner: UUID
    day: date
    holder: UUID
    units: int


@dataclass
class Books:
    """What the database knows; ``away``: it does not answer; ``queries``: how often it was asked."""

    limits: dict[UUID, Limits] = field(default_factory=dict)
    spent: dict[tuple[UUID, str, date], int] = field(default_factory=dict)
    slices: dict[UUID, Held] = field(default_factory=dict)
    taken: dict[tuple[UUID, str], int] = field(default_factory=dict)
    streams: dict[UUID, dict[UUID, int]] = field(default_factory=dict)
    overdrawn: set[UUID] = field(default_factory=set)
    recalled: list[UUID] = field(default_factory=list)
    away: bool = False
    queries: int = 0
    seconds: float = 60.0

    def of(self, owner: UUID) -> Limits:
        general = Limits() if owner == ORGANIZATION else self.limits.get(EVERYONE, Limits())
        return self.limits.get(owner, Limits()).over(general)

    def held(self, owner: UUID, day: date | None = None, month: date | None = None) -> int:
        return sum(
            one.units
            for one in self.slices.values()
            if one.owner == owner
            and (day is None or one.day == day)
            and (month is None or one.day.replace(day=1) == month)
        )

    def standing(self, owner: UUID, day: date, holder: UUID) -> Standing:
        limits, first = self.of(owner), day.replace(day=1)
        others = sum(
            one.units
            for one in self.slices.values()
            if one.owner == owner and one.holder != holder and one.day.replace(day=1) == first
        )

        def purse(limit: int | None, period: str, starts: date, held: int) -> Purse | None:
            return None if limit is None else Purse(limit, self.spent.get((owner, period, starts), 0), held)

        return Standing(
            purse(limits.usd_per_day, "day", day, self.held(owner, day=day)),
            purse(limits.usd_per_month, "month", first, self.held(owner, month=first)),
            others,
        )

    def write(self, rows: Collection[UsageRow]) -> None:
        """Insert usage rows, as the real one does in one transaction."""
        for row in rows:
            day = row.at.date()
            for owner in (row.user_id, ORGANIZATION):
                for key in ((owner, "day", day), (owner, "month", day.replace(day=1))):
                    self.spent[key] = self.spent.get(key, 0) + row.units
            for lease in row.leases:
                if lease in self.slices:
                    left = self.slices[lease].units - row.units
                    self.slices[lease].units = max(0, left)
                    if left < 0:
                        self.overdrawn.add(lease)


class Store:
    """One process's way to the books."""

    def __init__(self, books: Books) -> None:
        self.books, self.holder = books, uuid4()

    def _ask(self) -> None:
        if self.books.away:
            raise ConnectionRefusedError

    async def limits(self) -> Mapping[UUID, Limits]:
        self._ask()
        return dict(self.books.limits)

    async def lease(self, slice_id: UUID, owner: UUID, day: date, need: int, least: int) -> MoneyLease:
        self._ask()
        books = self.books
        books.queries += 1
        before = books.standing(owner, day, self.holder)
        granted = grant(before, need, least)
        there = slice_id in books.slices
        if granted:
            books.slices.setdefault(slice_id, Held(owner, day, self.holder, 0)).units += granted
        if granted < need and before.others:
            books.recalled.append(owner)
        return MoneyLease(granted, there, books.standing(owner, day, self.holder))

    async def rate(self, owner: UUID, kind: str, need: int, owed: int) -> RateLease:
        self._ask()
        books, limits = self.books, self.books.of(owner)
        books.queries += 1
        most = limits.requests_per_minute if kind == "requests" else limits.tokens_per_minute
        used = books.taken[owner, kind] = books.taken.get((owner, kind), 0) + owed
        granted = 0
        if most is None:
            granted = need
        elif most - used >= need:
            granted = max(need, min(most // 16, (most - used) // 4))
        books.taken[owner, kind] = used + granted
        return RateLease(granted, most, books.seconds)

    async def streams(self, owner: UUID, wanted: int) -> StreamLease:
        self._ask()
        self.books.queries += 1
        most, there = self.books.of(owner).streams, self.books.streams.setdefault(owner, {})
        others = sum(held for holder, held in there.items() if holder != self.holder)
        there[self.holder] = wanted if most is None else max(0, min(wanted, most - others))
        return StreamLease(there[self.holder], most)

    async def keep(self) -> Collection[UUID]:
        self._ask()
        return {key for key, one in self.books.slices.items() if one.holder == self.holder}

    async def give_back(self, amounts: Mapping[UUID, int]) -> None:
        self._ask()
        for key, amount in amounts.items():
            if key in self.books.slices:
                self.books.slices[key].units = max(0, self.books.slices[key].units - amount)

    async def close(self, slices: Collection[UUID]) -> None:
        self._ask()
        for key in slices:
            self.books.slices.pop(key, None)
