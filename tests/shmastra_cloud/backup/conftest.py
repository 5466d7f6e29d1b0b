from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.shmastra_cloud.backup.installations import furnish, new_folder, remove, settings

from shmastra_cloud.backup import make, wanted


@dataclass
class Saved:
    """An installation, and its backup."""

    data: Path
    keys: dict[str, str]
    file: Path
    said: dict[str, Any]


@pytest.fixture(scope="session")
def saved() -> Iterator[Saved]:
    assert os.geteuid() == 0, "disks are mounted and services have a user of their own, which needs root"
    data = new_folder()
    try:
        keys = asyncio.run(furnish(data))
        file, here = data.parent / "backup.tar.zst", settings(data)
        what = wanted(here, files_only=False, templates=True)
        said = asyncio.run(make(here, file, what, lambda _text: None))
        yield Saved(data, keys, file, said)
    finally:
        remove(data)


@pytest.fixture
def target() -> Iterator[Path]:
    """Give a folder in which there is no installation yet."""
    data = new_folder()
    yield data
    remove(data)
