"""The parts that the admin's routes share, and how the errors of features become answers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, HTTPException, Request

from shmastra_cloud.audit import Actor, AuditLog
from shmastra_cloud.identity import LastAdmin, UnknownUser
from shmastra_cloud.workspaces import (
    EngineError,
    IllegalTransition,
    LeaseLost,
    UnknownWorkspace,
    WorkspaceError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from shmastra_cloud.database import Pool
    from shmastra_cloud.identity import Users
    from shmastra_cloud.secrets_at_rest import Vault
    from shmastra_cloud.settings import Settings
    from shmastra_cloud.workspaces import Access, Engine, Lifecycle, Workspaces


@dataclass(frozen=True)
class AdminParts:
    """What the routes need."""

    settings: Settings
    pool: Pool
    vault: Vault
    users: Users
    store: Workspaces
    engine: Engine
    lifecycle: Lifecycle
    access: Access

    @property
    def audit(self) -> AuditLog:
        """Where it is written what admins do."""
        return AuditLog(self.pool)


def _parts(request: Request) -> AdminParts:
    return cast("AdminParts", request.app.state.admin)


def _who(request: Request) -> Actor:
    """Return who asks; whatever the routes are served through has found that out (`doors.py`)."""
    return cast("Actor", request.state.actor)


Parts = Annotated[AdminParts, Depends(_parts)]
Who = Annotated[Actor, Depends(_who)]


@contextmanager
def answered() -> Iterator[None]:
    """Turn what users and workspaces raise into the right status and a sentence."""
    try:
        yield
    except UnknownUser as error:
        raise HTTPException(404, {"error": str(error), "code": "unknown_user"}) from error
    except LastAdmin as error:
        raise HTTPException(409, {"error": str(error), "code": "last_admin"}) from error
    except WorkspaceError as error:
        status, code = refusal(error)
        raise HTTPException(status, {"error": str(error), "code": code}) from error


def refusal(error: WorkspaceError) -> tuple[int, str]:
    """Return the status and the code of what keeps a workspace from being used or changed."""
    if isinstance(error, UnknownWorkspace):
        return 404, "unknown_sandbox"
    if isinstance(error, IllegalTransition):
        return 409, "illegal_transition"
    if isinstance(error, LeaseLost):
        return 409, "busy"
    return 503, "sandboxes_away" if isinstance(error, EngineError) else "unavailable"


@dataclass(frozen=True)
class Named:
    """A sandbox (None where none is made yet) and whose it is."""

    user_id: UUID
    email: str
    sandbox_id: str | None


async def find_sandbox(here: AdminParts, name: str) -> Named:
    """Return which sandbox is meant by its id or a user's email.

    Raises:
        HTTPException: 404 where there is none.
    """
    user_id = await find(here, name)
    rows = await here.store.overview(user_id)
    if not rows:  # it was deleted in this moment
        raise HTTPException(404, {"error": f"There is no sandbox {name}.", "code": "unknown_sandbox"})
    return Named(user_id, rows[0]["email"], rows[0]["sandbox_id"])


async def find(here: AdminParts, name: str) -> UUID:
    """Return whose sandbox is meant by a sandbox's id or a user's email.

    Raises:
        HTTPException: 404 where there is none.
    """
    with answered():
        return await here.store.owner(name)
