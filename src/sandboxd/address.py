"""Where the daemon of a data folder answers: ``DIR/address``, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what a client dials instead


def url(bound: tuple[str, int]) -> str:
    """Return where a client dials what the daemon listens on."""
    host = EVERYWHERE.get(bound[0], bound[0])
    return f"http://[{host}]:{bound[1]}" if ":" in host else f"http://{host}:{bound[1]}"


def write(data: Path, bound: tuple[str, int]) -> None:
    """Write down what the daemon listens on."""
    scratch = data / "address.new"
    scratch.write_text(url(bound) + "\n")
    scratch.replace(data / "address")


def read(data: Path) -> str | None:
    """Return the address of the daemon; None where none ever listened."""
    try:
        return (data / "address").read_text().strip()
    except OSError:
        return None
