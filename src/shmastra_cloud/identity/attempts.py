"""How often somebody may try to sign in: counted in the database, so that all processes agree."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from shmastra_cloud.identity.errors import TooManyAttempts

if TYPE_CHECKING:
    from shmastra_cloud.database import Pool

log = logging.getLogger(__name__)

PER_ADDRESS = 60
IN_ALL = 1200
REMEMBERED = 10_000
ALL = "*"
NETWORK_BITS = 64  # what one customer of an IPv6 network has at least (RFC 6177)
KEPT_MINUTES = 10

_COUNT = (
    "insert into sign_in_attempts (address, minute, attempts) values ($1, date_trunc('minute', now()), 1)"
    " on conflict (minute, address) do update set attempts = sign_in_attempts.attempts + 1"
    " returning attempts, 60 - extract(second from now())::float8 as left"
)


class Attempts:
    """Counts attempts by the minute, per address and in all; an IPv6 address counts as its /64 network.

    Who is over his own bound is refused without a query and without counting for all. There are no more rows
    than attempts in all within ten minutes, since what is beyond makes none.
    """

    def __init__(self, pool: Pool, *, per_address: int = PER_ADDRESS, in_all: int = IN_ALL) -> None:
        self._pool, self._per_address, self._in_all = pool, per_address, in_all
        self._refused: OrderedDict[str, float] = OrderedDict()

    async def count(self, address: str) -> None:
        """Count an attempt of an address.

        Raises:
            TooManyAttempts: there were too many in this minute.
        """
        place = network(address)
        self._check(ALL)
        self._check(place)
        await self._add(place, self._per_address)
        await self._add(ALL, self._in_all)

    async def sweep(self) -> None:
        """Delete what was counted more than ten minutes ago."""
        await self._pool.execute(
            "delete from sign_in_attempts where minute < now() - make_interval(mins => $1)", KEPT_MINUTES
        )

    async def _add(self, name: str, bound: int) -> None:
        row = await self._pool.fetchrow(_COUNT, name)
        if row is not None and row["attempts"] > bound:
            self._refuse(name, row["left"])

    def _check(self, name: str) -> None:
        until = self._refused.get(name)
        if until is None:
            return
        left = until - time.monotonic()
        if left > 0:
            raise TooManyAttempts(left)
        del self._refused[name]

    def _refuse(self, name: str, left: float) -> None:
        log.warning("too many attempts to sign in %s", "in all" if name == ALL else f"from {name}")
        self._refused[name] = time.monotonic() + left
        while len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
        raise TooManyAttempts(left)


def network(address: str) -> str:
    """Return what an address counts as; what is none (a unix socket) is shared by all who come that way."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, NETWORK_BITS), strict=False))
    return str(found)
