"""Which sandboxes a client asked to see, a page at a time. No I/O."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import QueryParams

    from sandboxd.records import Record

PAGE = 100
STATES = {"running", "paused"}


def page(found: Sequence[Record], query: QueryParams) -> tuple[list[Record], str | None]:
    """Return a page, newest first unless asked otherwise, and the token of the next one.

    A token names the last sandbox told, so that what comes and goes between two pages moves nothing.

    Raises:
        ValueError: the query cannot be understood.
    """
    chosen = [record for record in found if _wanted(record, query)]
    chosen.sort(key=_key, reverse=_newest_first(query))
    token = query.get("nextToken")
    if token:
        after = _from_token(token)
        newest = _newest_first(query)
        chosen = [one for one in chosen if (_key(one) < after if newest else _key(one) > after)]
    size = _size(query)
    last = chosen[size - 1] if len(chosen) > size else None
    return chosen[:size], None if last is None else _to_token(last)


def _wanted(record: Record, query: QueryParams) -> bool:
    # it arrives encoded more than once
    metadata = parse_qsl(unquote(query.get("metadata", "")))
    states = {state for text in query.getlist("state") for state in text.split(",")}
    if not states <= STATES:
        raise ValueError("state must be running or paused.")
    return (
        all(record.metadata.get(unquote(name)) == unquote(value) for name, value in metadata)
        and (not states or record.state in states)
        and query.get("template") in {None, "", record.template}
        and record.started_at >= _started_after(query)
    )


def _started_after(query: QueryParams) -> float:
    text = query.get("startedAfter")
    return dt.datetime.fromisoformat(text).timestamp() if text else 0


def _newest_first(query: QueryParams) -> bool:
    order = query.get("order") or "desc"
    if order not in {"asc", "desc"}:
        raise ValueError("order must be asc or desc.")
    return order == "desc"


def _size(query: QueryParams) -> int:
    size = int(query.get("limit") or PAGE)
    if size < 1:
        raise ValueError("limit must be at least 1.")
    return min(size, PAGE)


def _key(record: Record) -> tuple[float, str]:
    return record.started_at, record.id


def _to_token(record: Record) -> str:
    return base64.urlsafe_b64encode(f"{record.started_at!r} {record.id}".encode()).decode()


def _from_token(token: str) -> tuple[float, str]:
    try:
        started_at, sandbox_id = base64.urlsafe_b64decode(token.encode()).decode().split(" ")
        return float(started_at), sandbox_id
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError("nextToken is not one of this service.") from error
