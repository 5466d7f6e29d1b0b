"""What a provider says about somebody, and whether that is what was asked for: exactly, never nearly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmastra_cloud.identity.oidc.errors import EmailUnverified

if TYPE_CHECKING:
    from collections.abc import Mapping

MISSING = object()
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f<>\",;]{1,64}@[^\s@\x00-\x1f\x7f<>\",;]{1,255}")


@dataclass(frozen=True)
class Condition:
    """One claim, and the values of which it must be, or contain, one."""

    claim: str
    values: frozenset[str]

    def holds(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether the claim is one of the values, or a list with one of them as a member."""
        found = value_of(claims, self.claim)
        members = found if isinstance(found, list) else [found]
        return any(_text(member) in self.values for member in members)


@dataclass(frozen=True)
class Rule:
    """Conditions that all must hold."""

    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, text: str, setting: str = "the claim") -> Rule:
        """Read ``groups=team``, ``groups=team|ops``, ``groups=team; hd=example.com``.

        Raises:
            ValueError: it cannot be read; the message names the setting.
        """
        conditions = []
        for part in re.split(r"[;\n]", text):
            if not part.strip():
                continue
            claim, equals, values = part.partition("=")
            wanted = frozenset(value.strip() for value in values.split("|"))
            if not equals or not claim.strip() or "" in wanted:
                raise ValueError(f"{setting} must be like groups=team, not {part.strip()!r}")
            conditions.append(Condition(claim.strip(), wanted))
        if not conditions:
            raise ValueError(f"{setting} must be like groups=team; it says nothing")
        return cls(tuple(conditions))

    def holds(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether all conditions hold."""
        return all(condition.holds(claims) for condition in self.conditions)

    @property
    def names(self) -> frozenset[str]:
        """The claims that are looked at."""
        return frozenset(condition.claim for condition in self.conditions)


def value_of(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim, or ``MISSING``: the one of just that name, else dots lead into objects."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for step in name.split("."):
        if not isinstance(found, dict) or step not in found:
            return MISSING
        found = found[step]
    return found


def verified_email(claims: Mapping[str, Any], claim: str = "email", *, trusted: bool = False) -> str:
    """Return somebody's email, if the provider says that it is his.

    ``trusted`` believes a provider that says nothing; one that says no is believed always.

    Raises:
        EmailUnverified: there is none, or its ``email_verified`` is anything but the boolean ``true``.
    """
    email = value_of(claims, claim)
    if not isinstance(email, str) or not EMAIL.fullmatch(email):
        raise EmailUnverified(f"the claim {claim} holds no email")
    verified = claims.get("email_verified", MISSING)
    if verified is True or (trusted and (verified is MISSING or claim != "email")):
        return email
    raise EmailUnverified("email_verified is not true")


def _text(value: object) -> object:
    """Return a claim's value as it is written in a setting; a list or an object is none of them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else MISSING
