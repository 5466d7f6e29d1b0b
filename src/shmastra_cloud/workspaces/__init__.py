"""Workspaces: the status machine, the reconciler, the way into a sandbox and the start-up page.

WorkspaceError
├── IllegalTransition    the status machine knows no such change
├── LeaseLost            another process has taken the row over
├── UnknownWorkspace     the user has no workspace
└── EngineError          the sandbox service did not do what was asked
    ├── EngineAway       it cannot be reached, or failed on its own account
    ├── SandboxGone      there is no sandbox of that id
    ├── TemplateMissing  the template does not exist
    └── StartFailed      the dev server did not become healthy
"""

from shmastra_cloud.activity import Activity
from shmastra_cloud.awake import Awake
from shmastra_cloud.workspaces.access import Access
from shmastra_cloud.workspaces.commands import Inside
from shmastra_cloud.workspaces.dial import Dial
from shmastra_cloud.workspaces.engine import Engine
from shmastra_cloud.workspaces.errors import (
    EngineAway,
    EngineError,
    IllegalTransition,
    LeaseLost,
    SandboxGone,
    StartFailed,
    TemplateMissing,
    UnknownWorkspace,
    WorkspaceError,
)
from shmastra_cloud.workspaces.lifecycle import Lifecycle
from shmastra_cloud.workspaces.pause import pause_all
from shmastra_cloud.workspaces.reconciler import Reconciler
from shmastra_cloud.workspaces.relay import MastraRelay
from shmastra_cloud.workspaces.restored import renew_tokens, settle_restored
from shmastra_cloud.workspaces.resume import Resumer
from shmastra_cloud.workspaces.routes import WorkspaceParts, heal_router, router
from shmastra_cloud.workspaces.store import Workspace, Workspaces
from shmastra_cloud.workspaces.watch import Watch

__all__ = [
    "Access",
    "Activity",
    "Awake",
    "Dial",
    "Engine",
    "EngineAway",
    "EngineError",
    "IllegalTransition",
    "Inside",
    "LeaseLost",
    "Lifecycle",
    "MastraRelay",
    "Reconciler",
    "Resumer",
    "SandboxGone",
    "StartFailed",
    "TemplateMissing",
    "UnknownWorkspace",
    "Watch",
    "Workspace",
    "WorkspaceError",
    "WorkspaceParts",
    "Workspaces",
    "heal_router",
    "pause_all",
    "renew_tokens",
    "router",
    "settle_restored",
]
