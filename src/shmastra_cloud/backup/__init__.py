"""Backup and restore of an installation: the embedded database, and the files of the sandboxes that run here.

BackupError
├── NotPossible    what was asked cannot be done here, or not by this user
├── NoSpace        a disk has not enough room
├── BadBackup      the file is no backup, is damaged, ends early, or was changed
├── TooNew         the backup was made by a newer program
├── Occupied       there is an installation already where one is to be restored
└── WrongKey       the master key at hand is not the one that the backup was made under
"""

from shmastra_cloud.backup.errors import (
    BackupError,
    BadBackup,
    NoSpace,
    NotPossible,
    Occupied,
    TooNew,
    WrongKey,
)
from shmastra_cloud.backup.inspecting import opened
from shmastra_cloud.backup.making import Wanted, make, wanted
from shmastra_cloud.backup.moves import clear, finish
from shmastra_cloud.backup.output import STDOUT
from shmastra_cloud.backup.restoring import How, check, restore

__all__ = [
    "STDOUT",
    "BackupError",
    "BadBackup",
    "How",
    "NoSpace",
    "NotPossible",
    "Occupied",
    "TooNew",
    "Wanted",
    "WrongKey",
    "check",
    "clear",
    "finish",
    "make",
    "opened",
    "restore",
    "wanted",
]
