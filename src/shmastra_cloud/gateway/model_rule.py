"""Which models a user may call: patterns such as ``openai/gpt-5*`` and ``!openai/*-pro``.

A user's own allowing patterns take the place of those for all, so that he can be given more or less than the
others; what is excluded for all with ``!`` stays excluded for everyone. Without an allowing pattern anything
is allowed that is not excluded. ``*`` is any text, slashes too, ``?`` one character. Allowing patterns look
at upper and lower case; excluding ones do not, since some providers do not either.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shmastra_cloud.gateway.errors import BadPattern, ModelRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_PATTERNS = 200
_PATTERN = re.compile(r"!?(?:\*|[a-z0-9*?][a-z0-9_*?-]*/[A-Za-z0-9._:@~/+*?-]{1,200})")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@~/+-]{0,199}")
# Wherever a body names a model: the one it wants, others to fall back on, one that a tool works with.
_NAMES = frozenset(
    ("model", "models", "fallback", "fallbacks", "fallback_model", "fallback_models", "model_id")
)
# A model, or a whole setting with one, that is stored at the provider under a name of its own.
_STORED = frozenset(("preset",))
# What the conversation itself is about, and shapes of answers, in which any word may be a key.
_TALK = frozenset(("input", "system", "metadata", "instructions", "labels"))
_ANYWHERE = frozenset((
    "messages", "contents", "content", "parameters", "schema", "input_schema", "input_examples",
    "json_schema", "parametersJsonSchema", "parameters_json_schema", "responseSchema", "response_schema",
    "responseJsonSchema", "response_json_schema", "responseFormat", "response_format",
))  # fmt: skip


@dataclass(frozen=True)
class ModelRule:
    """What is allowed to one user; compiled once."""

    allows: tuple[str, ...]
    denies: tuple[str, ...] = ()
    _allowed: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _denied: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allowed", _compiled(self.allows))
        object.__setattr__(self, "_denied", _compiled(self.denies, re.IGNORECASE))

    def __str__(self) -> str:
        return ", ".join([*(self.allows or ("*",)), *(f"!{pattern}" for pattern in self.denies)])

    def allows_model(self, provider: str, model: str) -> bool:
        """Tell whether a provider's model may be called; a name in an unusual form may not."""
        if not _MODEL.fullmatch(model):
            return False
        name = f"{provider}/{model.removeprefix('models/')}"
        if self._denied is not None and self._denied.fullmatch(name):
            return False
        return self._allowed is None or self._allowed.fullmatch(name) is not None

    def check(self, provider: str, model: str | None) -> None:
        """Hold a model that a path, a query or a form names.

        Raises:
            ModelRefused: it is not allowed, or none is named.

        """
        if model is None:
            raise ModelRefused(
                f"The request does not say in a clear way which model it wants; allowed here: {self}."
            )
        if not self.allows_model(provider, model):
            shown = f"{provider}/{_shown(model.removeprefix('models/'))}"
            raise ModelRefused(f"The model {shown} is not allowed here; allowed: {self}.")

    def check_body(self, provider: str, asked: dict[str, Any], *, needed: bool) -> None:
        """Hold every model that a JSON body names; ``needed``: it must name one.

        Raises:
            ModelRefused: one is not allowed, or is named in a way that providers may read differently.

        """
        named = False
        for name, value, depth in _models(asked, 0):
            if depth == 0 and (name in _STORED or not _is_text(value)):
                raise ModelRefused(f"The field {name} names a model in a way that cannot be checked here.")
            for model in (value,) if isinstance(value, str) else value:
                self.check(provider, model)
                named = named or (depth == 0 and name in {"model", "models"})
        if needed and not named:
            self.check(provider, None)


def rule_of(own: Sequence[str] | None, everyone: Sequence[str] | None) -> ModelRule | None:
    """Join a user's own patterns with those for all; None where neither is there."""
    if not own and not everyone:
        return None
    mine, all_of = tuple(own or ()), tuple(everyone or ())
    allows = _allowing(mine) or _allowing(all_of)
    return ModelRule(allows, tuple(dict.fromkeys(_denying(all_of) + _denying(mine))))


def checked_patterns(patterns: Iterable[str]) -> list[str]:
    """Return patterns as they are kept: without spaces around them and without repetition.

    Raises:
        BadPattern: one can never mean what was meant; the message says how to write it.

    """
    kept = list(dict.fromkeys(pattern.strip() for pattern in patterns))
    for pattern in kept:
        if not _PATTERN.fullmatch(pattern):
            raise BadPattern(
                f"{pattern!r} is no pattern: write provider/model, such as openai/gpt-5*, anthropic/* or, to"
                " exclude, !openai/*-pro."
            )
        if pattern.lstrip("!").startswith("gemini/"):
            raise BadPattern(f"{pattern!r}: the provider's name is google, whichever path is used.")
    if not 1 <= len(kept) <= MAX_PATTERNS:
        raise BadPattern(f"A rule has 1 to {MAX_PATTERNS} patterns; to have no rule, remove it.")
    return kept


def _allowing(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern for pattern in patterns if not pattern.startswith("!"))


def _denying(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern[1:] for pattern in patterns if pattern.startswith("!"))


def _compiled(patterns: tuple[str, ...], flags: int = 0) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(one.replace("[", "[[]")) for one in patterns), flags)


def _models(value: Any, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Find the fields that name models, by their names in any case: some providers do not look at it."""
    if isinstance(value, list):
        for item in value:
            yield from _models(item, depth + 1)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        name = key.casefold()
        if (name in _NAMES or name in _STORED) and (depth == 0 or _is_text(item)):
            yield name, item, depth
        elif key not in _ANYWHERE and not (depth == 0 and key in _TALK):
            yield from _models(item, depth + 1)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _shown(model: str) -> str:
    text = model[:100]
    return text if text.isprintable() and text.isascii() else repr(text)
