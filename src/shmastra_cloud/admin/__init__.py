"""What the command line asks of a running cloud, over a socket that its peers' uids decide about.

The same routes answer inside the command line's own process, where no cloud runs on this machine but its
database can be reached, and to admins elsewhere under ``/api/manage``; `doors.py` finds out who asks.
"""

from fastapi import APIRouter

from shmastra_cloud.admin import (
    audit,
    budgets,
    inside,
    master_key,
    models,
    sandboxes,
    state,
    tokens,
    users,
)
from shmastra_cloud.admin.callers import Callers
from shmastra_cloud.admin.doors import AtSocket, InProcess
from shmastra_cloud.admin.gate import ManageGate
from shmastra_cloud.admin.master_key import replace_master_key
from shmastra_cloud.admin.parts import AdminParts
from shmastra_cloud.admin.peers import PeerProtocol

router = APIRouter()
for part in (users, budgets, sandboxes, inside, state, models, audit, tokens, master_key):
    router.include_router(part.router)

__all__ = [
    "AdminParts",
    "AtSocket",
    "Callers",
    "InProcess",
    "ManageGate",
    "PeerProtocol",
    "replace_master_key",
    "router",
]
