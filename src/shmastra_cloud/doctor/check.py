"""What is told of one dependency."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One dependency: ``fix`` says what to do, and is empty where nothing is to be done."""

    name: str
    status: Status
    detail: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it in the shape of ``doctor --json``."""
        return asdict(self)


def ok(name: str, detail: str) -> Check:
    """Return that it is as it should be."""
    return Check(name, "ok", detail)


def warning(name: str, detail: str, fix: str) -> Check:
    """Return that the cloud works, but not as it should."""
    return Check(name, "warning", detail, fix)


def failed(name: str, detail: str, fix: str) -> Check:
    """Return that the cloud cannot work like this."""
    return Check(name, "failed", detail, fix)
