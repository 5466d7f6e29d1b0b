"""How patient the healer is, out of the environment or ``.env``. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "SHMASTRA_HEALER_"
LEAST, MOST = 0.1, 3600.0


class Patience(NamedTuple):
    """Seconds, each settable as ``SHMASTRA_HEALER_<NAME>_SECONDS``.

    - ``poll``: between two polls while all is well, and between the two that make a crash
    - ``quick``: between two polls while something is afoot
    - ``answer``: for one poll
    - ``cure``: what pm2 gets to cure an exit by itself
    - ``start``: what a start may take; more than the 30 s after which the runner says which line hangs
    - ``rest``: before the first attempt; grows threefold with each
    - ``aside``: how long the healer stands back when the cloud's worker is at work
    - ``steady``: how long all must be well before attempts are counted anew
    - ``gap``: how much longer than asked a wait may take before it was a suspension
    """

    poll: float = 10.0
    quick: float = 0.5
    answer: float = 5.0
    cure: float = 5.0
    start: float = 40.0
    rest: float = 1.0
    aside: float = 60.0
    steady: float = 60.0
    gap: float = 5.0


def patience(*sources: Mapping[str, str]) -> Patience:
    """Return what the first source with a sound value says of each; rubbish counts as unset."""
    found = {}
    for name, default in Patience()._asdict().items():
        texts = (source.get(f"{PREFIX}{name.upper()}_SECONDS") for source in sources)
        found[name] = next((value for value in map(_seconds, texts) if value is not None), default)
    return Patience(**found)


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if LEAST <= value <= MOST else None
