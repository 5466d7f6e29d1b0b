"""Reading a request's body as every provider must read it, or not at all.

Of two fields of one name Python takes the last; a provider may take the first. A body that holds a word which
decides whose data is touched, or to which a rule of models applies, may name no field twice. Whether it holds
such a word is seen in its bytes, for next to nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from shmastra_cloud.gateway.errors import RefusedRequest

# Beginnings of the fields that matter, in lower case. But for the last, none holds an s or a k, for which
# Unicode has letters that some readers take for the same.
_WORDS = re.compile(
    rb'"(?:p(?:reviou|rompt")|c(?:o(?:n(?:ver|tainer)|mpari)|ached)|file|input_?file'
    rb"|t(?:raining_?file|unnel)|v(?:alidation_?file|ector)|bac|skill_?id)"
)  # alternatives that differ in their first letter are the quickest to tell apart
_ESCAPED = b"\\u00"  # a letter in a name may be written so
_FIELD = re.compile(
    r'Content-Disposition: *form-data; *name="([A-Za-z0-9_.\[\]-]+)"'
    r'(?:; *filename="[^"\r\n]*")?(?:; *filename\*=[^\r\n;]*)?',
    re.IGNORECASE,
)
_OTHER_LINE = re.compile(r"Content-(?:Type|Length): *[\x20-\x7e]*", re.IGNORECASE)
_BOUNDARY = re.compile(rb"multipart/form-data; *boundary=(\"?)([0-9A-Za-z'()+_,./:=?-]{1,70})\1")


def suspicious(data: bytes) -> bool:
    """Tell whether a body may hold a field that names something at a provider, or runs in the background."""
    return _WORDS.search(data.lower()) is not None or _ESCAPED in data


def parse(data: bytes, *, strict: bool) -> dict[str, Any]:
    """Read a JSON object; ``strict``: one that holds no field twice, at any depth.

    Raises:
        RefusedRequest: it is none, or can be read in two ways.

    """
    try:
        text = data.decode()  # bytes would be taken for UTF-16 where they look like it
        asked = (_STRICT if strict else _PLAIN).decode(text)
    except (ValueError, RecursionError) as error:
        raise RefusedRequest("The body is not valid JSON.") from error
    if not isinstance(asked, dict):
        raise RefusedRequest("The body must be a JSON object.")
    return asked


def form_model(data: bytes, content_type: bytes) -> str | None:
    """Read the model that a form names, where it is written in the plain way that SDKs write it.

    Raises:
        RefusedRequest: it is written in another way, or names a model twice.

    """
    found = _BOUNDARY.fullmatch(content_type)
    if found is None:
        raise RefusedRequest("The form's Content-Type must be multipart/form-data with a plain boundary.")
    start, *parts = (b"\r\n" + data).split(b"\r\n--" + found[2])
    if start or len(parts) < 2 or parts[-1] not in {b"--", b"--\r\n"}:
        raise RefusedRequest("The form is not whole.")
    named = [value for name, value in map(_part, parts[:-1]) if name.casefold().startswith("model")]
    if len(named) > 1:
        raise RefusedRequest("The form names its model twice.")
    return named[0].decode("utf-8", "replace") if named else None


def _part(part: bytes) -> tuple[str, bytes]:
    head, gap, value = part.partition(b"\r\n\r\n")
    empty, *lines = head.decode("latin-1").split("\r\n")
    names = [found[1] for found in map(_FIELD.fullmatch, lines) if found]
    others = [line for line in lines if not _FIELD.fullmatch(line)]
    if empty or not gap or len(names) != 1 or not all(map(_OTHER_LINE.fullmatch, others)):
        raise RefusedRequest("A part of the form has a head that can be read in two ways.")
    return names[0], value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedRequest("The body names a field twice, which can be read in two ways.")
    return found


_PLAIN = json.JSONDecoder()
_STRICT = json.JSONDecoder(object_pairs_hook=_without_twins)
