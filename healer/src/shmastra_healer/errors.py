"""The errors of this package; the tree is drawn in ``shmastra_healer``."""

from __future__ import annotations


class HealerError(Exception):
    """Anything that this package raises on purpose."""


class NoSettings(HealerError):
    """``.env`` cannot be read, or names no cloud."""


class RestartFailed(HealerError):
    """pm2 could not start the dev server; the message holds its last words."""
