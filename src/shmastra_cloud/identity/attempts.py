"""How often signing in may fail: counted in the database, so that all processes agree."""

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

_LEFT = "60 - extract(second from now())::float8 as left"
_COUNT = (
    "insert into sign_in_attempts (address, minute, attempts)"
    " select name, date_trunc('minute', now()), 1 from unnest(array['*', $1]) as name order by name"
    " on conflict (minute, address) do update set attempts = sign_in_attempts.attempts + 1"
)
_COUNTED = (
    f"select address, attempts, {_LEFT} from sign_in_attempts"  # noqa: S608 -- words of ours
    " where minute = date_trunc('minute', now()) and address in ('*', $1)"
)


class Attempts:
    """Counts attempts that failed by the minute, per address and in all; IPv6 counts by /64 networks.

    Who is beyond a bound is refused and not counted any more, so that what is kept is bounded too: no more
    rows than may fail in all within ten minutes.
    """

    def __init__(self, pool: Pool, *, per_address: int = PER_ADDRESS, in_all: int = IN_ALL) -> None:
        self._pool, self._bounds = pool, (in_all, per_address)
        self._refused: OrderedDict[str, float] = OrderedDict()

    async def check(self, address: str) -> None:
        """Let an address try.

        Raises:
            TooManyAttempts: too many have failed in this minute, from there or in all.
        """
        place = network(address)
        for name in (ALL, place):
            left = self._refused.get(name, 0.0) - time.monotonic()
            if left > 0:
                raise TooManyAttempts(left)
            self._refused.pop(name, None)
        for row in await self._pool.fetch(_COUNTED, place):
            if row["attempts"] >= self._bounds[row["address"] != ALL]:
                self._refuse(row["address"], row["left"])

    async def failed(self, address: str) -> None:
        """Count an attempt that failed."""
        await self._pool.execute(_COUNT, network(address))

    async def sweep(self) -> None:
        """Delete what was counted more than ten minutes ago."""
        await self._pool.execute(
            "delete from sign_in_attempts where minute < now() - make_interval(mins => $1)", KEPT_MINUTES
        )

    def _refuse(self, name: str, left: float) -> None:
        log.warning("signing in failed too often %s", "in all" if name == ALL else f"from {name}")
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
