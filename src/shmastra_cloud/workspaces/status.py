"""The status machine: the statuses of a sandbox and every legal change between them. No I/O."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

from shmastra_cloud.workspaces.errors import IllegalTransition

Status: TypeAlias = Literal["provisioning", "ready", "healing", "broken", "paused"]

LEGAL: dict[Status, frozenset[Status]] = {
    "provisioning": frozenset({"ready", "broken"}),
    "ready": frozenset({"paused", "healing", "broken", "provisioning"}),
    "healing": frozenset({"ready", "broken", "provisioning"}),
    "broken": frozenset({"provisioning", "healing"}),
    "paused": frozenset({"ready", "provisioning"}),
}
# Of these, what a healer may report. While a sandbox is provisioned or paused, the cloud is at work on it.
REPORTABLE: dict[Status, frozenset[Status]] = {
    "provisioning": frozenset(),
    "ready": frozenset({"healing"}),
    "healing": frozenset({"ready", "broken"}),
    "broken": frozenset({"healing"}),
    "paused": frozenset(),
}
MAX_ATTEMPTS = 3


def as_status(text: str) -> Status:
    """Return ``text`` as a status.

    Raises:
        ValueError: there is no such status.
    """
    if text not in get_args(Status):
        raise ValueError(f"There is no status {text!r}.")
    return cast("Status", text)


def check_transition(current: Status, wanted: Status) -> None:
    """Let a legal change pass.

    Raises:
        IllegalTransition: the status machine knows no such change.
    """
    if wanted not in LEGAL[current]:
        raise IllegalTransition(f"A sandbox that is {current} cannot become {wanted}.")


def check_report(current: Status, wanted: Status) -> None:
    """Let a change pass that a healer may report.

    Raises:
        IllegalTransition: only the cloud itself makes this change, or nobody.
    """
    if wanted not in REPORTABLE[current]:
        raise IllegalTransition(f"A sandbox that is {current} cannot become {wanted} by its healer's word.")


def after_failure(attempt: int) -> Status:
    """Return where a failed attempt (1, 2, ...) to provision leads: to another one, or to ``broken``."""
    return "provisioning" if attempt < MAX_ATTEMPTS else "broken"
