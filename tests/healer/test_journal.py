import re
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from pathlib import Path

import pytest

from shmastra_healer.journal import MOST_BYTES, journal


@contextmanager
def opened(path: Path) -> Iterator[Logger]:
    log = journal(path)
    yield log
    log.handlers[0].close()


def test_a_line_has_its_time_in_utc(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log:
        log.info("all is %s", "well")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z all is well\n", (tmp_path / "log").read_text()
    )


def test_it_is_bounded(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log:
        for number in range(3 * MOST_BYTES // 1000):
            log.info("%d %s", number, "x" * 1000)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1"]
    assert all(file.stat().st_size <= MOST_BYTES for file in files)


def test_a_full_disk_or_a_missing_folder_is_no_crash(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    log = journal(full)
    log.info("lost")
    log.info("lost too")
    with pytest.raises(OSError, match="No space"):
        log.handlers[0].close()
    with opened(tmp_path / "no/log") as log:
        log.info("lost")


def test_a_line_that_is_no_text_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log:
        log.info("a \ud800 b")
    assert "a \\ud800 b" in (tmp_path / "log").read_text()
