"""What `shmastra up` does: Postgres, the engine, web and worker, started in order, watched, ended in order.

SupervisorError
├── AlreadyRunning    another supervisor holds this data folder
├── PortTaken         the public port cannot be bound
├── Unreadable        the service user cannot read the program or the data
└── ChildFailed       a process did not come up
"""

from shmastra_cloud.supervisor.errors import (
    AlreadyRunning,
    ChildFailed,
    PortTaken,
    SupervisorError,
    Unreadable,
)
from shmastra_cloud.supervisor.lock import held
from shmastra_cloud.supervisor.place import existing, settle
from shmastra_cloud.supervisor.postgres import Postgres
from shmastra_cloud.supervisor.privileges import SERVICE, Account, account, own, owner_of
from shmastra_cloud.supervisor.serving import serving
from shmastra_cloud.supervisor.up import UpPlan, run_up
from shmastra_cloud.supervisor.webs import run_webs

__all__ = [
    "SERVICE",
    "Account",
    "AlreadyRunning",
    "ChildFailed",
    "PortTaken",
    "Postgres",
    "SupervisorError",
    "Unreadable",
    "UpPlan",
    "account",
    "existing",
    "held",
    "own",
    "owner_of",
    "run_up",
    "run_webs",
    "serving",
    "settle",
]
