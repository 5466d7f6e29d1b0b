"""Which ids of things that are kept at a provider a request's body names, and by which field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without underscores, in lower case: providers differ in how they write a name, some take several spellings.
_FIELDS = frozenset((
    "previousresponseid", "comparisonresponseid", "conversation", "conversationid", "fileid", "fileids",
    "vectorstoreid", "vectorstoreids", "container", "containerid", "prompt", "promptid", "skillid",
    "tunnelid", "inputfileid", "trainingfile", "validationfile", "cachedcontent", "fileuri",
    "filesearchstorenames",
))  # fmt: skip
# Shapes of data, in which any word may be a field of somebody's own.
_SHAPES = frozenset((
    "parameters", "schema", "input_schema", "input_examples", "json_schema", "parametersJsonSchema",
    "parameters_json_schema", "responseSchema", "response_schema", "responseJsonSchema",
    "response_json_schema",
))  # fmt: skip
_CALLED_WITH = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))
_CALLS = frozenset(("functionCall", "function_call", "functionResponse", "function_response"))
# What a provider said before about its own files; nothing is read by these.
_SAID_BEFORE = frozenset((
    "bash_code_execution_output", "code_execution_output", "file_citation", "container_file_citation",
    "file_path",
))  # fmt: skip
_NO_IDS = frozenset(("auto", "none"))
_FILES = re.compile(r"(?:^|/)(files/[^/?#:]+)")


class Reference(NamedTuple):
    """A field and the id that it names; None: something that is no id, and cannot be checked."""

    field: str
    id: str | None


def references(asked: dict[str, Any]) -> Iterator[Reference]:
    """Find the ids in a body; what its user describes with fields of his own is left out."""
    for name, value in asked.items():
        if name not in {"metadata", "labels"}:
            yield from _field(name, value, asked)


def _inside(value: Any, parent: str) -> Iterator[Reference]:
    if isinstance(value, list):
        for item in value:
            yield from _inside(item, parent)
    elif isinstance(value, dict):
        for name, item in value.items():
            called = (name == "input" and value.get("type") in _CALLED_WITH) or (
                parent in _CALLS and name in {"args", "response"}
            )
            if not called:
                yield from _field(name, item, value)


def _field(name: str, value: Any, around: dict[str, Any]) -> Iterator[Reference]:
    plain = name.casefold().replace("_", "")
    if plain in _FIELDS and not (plain == "fileid" and around.get("type") in _SAID_BEFORE):
        yield from _named(name, plain, value)
    if isinstance(value, (dict, list)) and name not in _SHAPES:
        yield from _inside(value, name)


def _named(name: str, plain: str, value: Any) -> Iterator[Reference]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key.casefold() == "id" and item is not None:
                yield Reference(f"{name}.{key}", item if isinstance(item, str) else None)
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, dict):
                yield Reference(name, item if isinstance(item, str) else None)
    elif isinstance(value, str):
        yield from _text(name, plain, value)
    elif value is not None and plain != "prompt":
        yield Reference(name, None)


def _text(name: str, plain: str, value: str) -> Iterator[Reference]:
    """Read a field that is one word; ``prompt`` is then what is said, not an id."""
    if plain == "fileuri":
        if _is_kept_file(value):
            found = _FILES.search(value)
            yield Reference(name, found[1] if found else None)
    elif plain == "skillid":
        if value.startswith("skill_"):  # the others come with the provider
            yield Reference(name, value)
    elif value and plain != "prompt" and not (plain == "conversation" and value in _NO_IDS):
        yield Reference(name, value)


def _is_kept_file(uri: str) -> bool:
    """Tell whether an address may lead to a file that the provider keeps for the account."""
    place = uri.casefold()
    scheme, found, rest = place.partition("://")
    host = rest.partition("/")[0]
    return not (found and scheme in {"http", "https"} and "googleapis" not in host and host.isascii()) or (
        "%" in host or "\\" in place
    )
