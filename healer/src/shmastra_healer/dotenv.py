"""Reads ``.env``, which the cloud rewrites at any time. No I/O."""

from __future__ import annotations


def parse(text: str) -> dict[str, str]:
    """Return the variables of a ``.env`` file: ``NAME=value`` lines, one pair of quotes taken off."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or not name.strip() or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip()] = value
    return found
