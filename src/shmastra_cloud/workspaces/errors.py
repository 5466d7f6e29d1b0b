"""The workspaces package's error tree; drawn in the package's docstring."""

from __future__ import annotations


class WorkspaceError(Exception):
    """Anything that keeps a workspace from being used or changed."""


class IllegalTransition(WorkspaceError):
    """The status machine knows no such change."""


class LeaseLost(WorkspaceError):
    """Another process has taken the row over; whoever held it must stop."""


class UnknownWorkspace(WorkspaceError):
    """The user has no workspace."""


class EngineError(WorkspaceError):
    """The sandbox service did not do what was asked."""


class EngineAway(EngineError):
    """The sandbox service cannot be reached, or failed on its own account."""


class SandboxGone(EngineError):
    """There is no sandbox of that id (any more)."""


class TemplateMissing(EngineError):
    """The template does not exist; the message names the command that builds it."""


class StartFailed(EngineError):
    """The sandbox is there, but the dev server in it did not become healthy."""
