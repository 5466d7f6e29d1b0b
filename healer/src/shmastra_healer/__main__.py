"""Starts the healer of this sandbox: what pm2 runs as ``healer``."""

from __future__ import annotations

import os

from shmastra_healer.journal import journal
from shmastra_healer.loop import Healer
from shmastra_healer.place import Place
from shmastra_healer.settings import patience


def main(place: Place | None = None) -> None:
    """Watch until pm2 ends this process."""
    here = place or Place()
    log = journal(here.project / ".logs/healer.log")
    try:
        Healer(here, patience(os.environ, here.env()), log).run()
    except KeyboardInterrupt:  # pm2's way to say that it is over
        log.info("ended")


if __name__ == "__main__":
    main()
