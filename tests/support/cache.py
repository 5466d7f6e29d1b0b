"""What is expensive to make and the same for every run on a machine: templates and installed packages.

Each set of sources has a folder of its own, so that a template never changes under a sandbox of another run;
``base`` and the packages are shared by all that want the same. Building is guarded by a file lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandboxd import base_template
from shmastra_cloud.templates import build, is_built

CACHE = Path("/var/cache/shmastra-test")
LOCK_SECONDS = 900
KEPT = 6
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Made:
    """Where a data folder's ``engine/templates`` and ``cache`` lead to."""

    templates: Path
    packages: Path


@contextmanager
def in_use() -> Iterator[Made]:
    """Give what this checkout's cloud starts from, built where it is missing; nobody deletes it meanwhile."""
    made = _places()
    with ExitStack() as using:
        CACHE.mkdir(parents=True, exist_ok=True)
        with _locked(CACHE / "lock", fcntl.LOCK_EX):
            for folder in (made.templates, made.packages):
                folder.mkdir(parents=True, exist_ok=True)
            using.enter_context(_locked(made.templates / "in-use", fcntl.LOCK_SH))
            os.utime(made.templates)
            _build(made)
            _prune()
        yield made


def _places() -> Made:
    """Name the folders by everything that decides what is in them."""
    template = ROOT / "template"
    locks = (template / "package-lock.json", template / "tools/package-lock.json")
    recipes = [
        Path(str(base_template.__file__)),
        *sorted((ROOT / "src/shmastra_cloud/templates").glob("*.py")),
    ]
    healer = sorted(
        file for file in (ROOT / "healer").rglob("*") if file.is_file() and ".pyc" not in file.name
    )
    version = _digest([*_files(template), *recipes, *healer])
    return Made(CACHE / "versions" / version, CACHE / "packages" / _digest(locks))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and "node_modules" not in file.parts)


def _digest(files: list[Path] | tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(
            f"{file.relative_to(ROOT)}\0{file.stat().st_mode & 0o111}\0".encode() + file.read_bytes()
        )
    return digest.hexdigest()[:16]


def _build(made: Made) -> None:
    base_template.build_base(CACHE / "templates", print)
    base = made.templates / "base"
    if not base.exists():
        base.symlink_to(CACHE / "templates" / "base")
    if not is_built(made.templates):
        build(made.templates, made.packages, print)


def _prune() -> None:
    """Delete the sets that nobody uses, but for the newest."""
    versions = sorted((CACHE / "versions").iterdir(), key=lambda folder: folder.stat().st_mtime)
    for folder in versions[:-KEPT]:
        try:
            with _locked(folder / "in-use", fcntl.LOCK_EX, seconds=0):
                shutil.rmtree(folder)
        except TimeoutError:
            continue


@contextmanager
def _locked(path: Path, how: int, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a file's lock.

    Raises:
        TimeoutError: somebody else held it all the time.
    """
    end = time.monotonic() + seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise TimeoutError(f"{path} stayed locked for {seconds:.0f} s") from None
                time.sleep(0.1)
        yield
