"""What the command line asks of a running cloud, over a socket that its peers' uids decide about.

The same routes answer inside the command line's own process where no cloud runs on this machine but its
database can be reached: :func:`application` is all that both need. ``manage_router`` is for an admin in a
browser.
"""

from fastapi import APIRouter

from shmastra_cloud.admin import budgets, inside, master_key, models, sandboxes, state, users
from shmastra_cloud.admin.master_key import replace_master_key
from shmastra_cloud.admin.models import manage_router
from shmastra_cloud.admin.parts import AdminParts
from shmastra_cloud.admin.peers import PeerProtocol

router = APIRouter()
for part in (users, budgets, sandboxes, inside, state, models, master_key):
    router.include_router(part.router)

__all__ = ["AdminParts", "PeerProtocol", "manage_router", "replace_master_key", "router"]
