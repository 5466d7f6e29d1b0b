"""What may stand in a line: short text without control characters, and small details."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = 320  # characters: as long as an email may be
ENTRIES = 20
# Control characters, those that turn the direction of text around, and what no UTF-8 is made of.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: str) -> str:
    """Return a text as one short line."""
    line = _UNSAFE.sub(" ", text[: TEXT * 4]).strip()
    return line if len(line) <= TEXT else line[: TEXT - 1] + "…"


def cleaned(value: str | None) -> str | None:
    """Return a text as one short line, or None as it is."""
    return None if value is None else clean(value)


def details(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return details that can be kept: numbers, truth values, short texts, and short lists of those."""
    return {clean(name): _detail(value) for name, value in list(values.items())[:ENTRIES]}


def _detail(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_detail(one) for one in value[:ENTRIES] if not isinstance(one, list | tuple)]
    return clean(str(value))
