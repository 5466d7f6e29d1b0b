"""Where the data folder can be: the system user that the services run as must be able to get to it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from shmastra_cloud.supervisor.errors import Unreadable
from shmastra_cloud.supervisor.privileges import can_enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from shmastra_cloud.supervisor.privileges import Account

STATE = Path("/var/lib/shmastra")


def settle(data: Path, who: Account | None, say: Callable[[str], None], state: Path = STATE) -> Path:
    """Return where the data folder really is, made if there is none.

    Where ``who`` cannot get to it, it is kept under ``state``, and a link stays in its place.

    Raises:
        Unreadable: there are two folders, and it cannot be known which one is meant.
    """
    data = data.resolve()
    if who is None or can_enter(who, existing(data.parent)):
        data.mkdir(parents=True, exist_ok=True)
        return data
    place = state / f"data-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"
    say(f"the system user {who.name} cannot enter {data.parent}: data is kept in {place}, and a link stays")
    if data.exists() and place.exists():
        raise Unreadable(f"Both {data} and {place} exist. Remove or rename the one that is not wanted.")
    state.mkdir(parents=True, exist_ok=True)
    if data.exists():
        shutil.move(data, place)
    place.mkdir(exist_ok=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    data.symlink_to(place)
    return place


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return folder if folder.exists() else existing(folder.parent)
