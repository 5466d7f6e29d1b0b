"""What can be set of somebody's limits, and how it is written: a number, ``none`` or ``default``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NONE = "none"
DEFAULT = "default"
MAX_USD = Decimal(10_000_000)
MAX_COUNT = 2**31 - 1
NO_LIMIT = -1
MONEY = ("usd_per_day", "usd_per_month")
NAMES = (*MONEY, "requests_per_minute", "tokens_per_minute", "streams")

_Word = Literal["none", "default"]
_Usd = Annotated[Decimal, Field(ge=0, le=MAX_USD, decimal_places=8)]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


class Change(BaseModel):
    """New limits; what is not named stays as it is.

    ``none``: no limit, whatever applies to everyone; ``default`` (or null): what applies to everyone.
    """

    model_config = ConfigDict(extra="forbid")

    usd_per_day: _Usd | _Word | None = None
    usd_per_month: _Usd | _Word | None = None
    requests_per_minute: _Count | _Word | None = None
    tokens_per_minute: _Count | _Word | None = None
    streams: _Count | _Word | None = None

    def values(self) -> dict[str, Decimal | int | None]:
        """Return what was named, as the database keeps it."""
        return {name: _stored(getattr(self, name)) for name in NAMES if name in self.model_fields_set}


def _stored(value: Decimal | int | str | None) -> Decimal | int | None:
    if value is None or value == DEFAULT:
        return None
    if isinstance(value, str):
        return NO_LIMIT
    return value


def told(name: str, value: Any) -> float | int | str:
    """Return a limit as it was set, out of the database's value."""
    if value is None:
        return DEFAULT
    if value < 0:
        return NONE
    return float(value) if name in MONEY else int(value)
