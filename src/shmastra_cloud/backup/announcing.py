"""The one place that tells of a backup that was made, or restored."""

from __future__ import annotations

import logging
from typing import Any, Literal, TypeAlias

log = logging.getLogger(__name__)

Deed: TypeAlias = Literal["backup.made", "backup.restored"]


def announce(deed: Deed, facts: dict[str, Any]) -> None:
    """Say what was done; ``facts`` is what the command prints of it, which holds no secret."""
    where = facts.get("file") or facts.get("data")
    log.debug("%s: %s, %d users, %d sandboxes", deed, where, facts["users"], len(facts["sandboxes"]))
