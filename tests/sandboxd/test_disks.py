import asyncio
import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd import disks
from sandboxd.errors import CommandFailed

pytestmark = pytest.mark.engine


@contextlib.contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "-o", "loop", image, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def make(image: Path, size: int) -> None:
    asyncio.run(disks.make_empty(image, size))


def test_an_empty_disk_is_sparse_and_for_root_only(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    make(image, 64 << 20)
    assert image.stat().st_size == 64 << 20
    assert image.stat().st_blocks * 512 < 8 << 20
    assert image.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["disk.img"]


def test_a_disk_in_use_is_copied_whole_and_goes_on(tmp_path: Path) -> None:
    image, copy = tmp_path / "disk.img", tmp_path / "copy.img"
    make(image, 32 << 20)
    with mounted(image, tmp_path / "at") as at:
        (at / "before").write_text("x" * 100_000)
        disks.copy(image, at, copy)
        (at / "after").write_text("y")
    assert copy.stat().st_mode & 0o777 == 0o600
    checked = subprocess.run(["e2fsck", "-fn", copy], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert "journal" not in checked.stdout + checked.stderr
    with mounted(copy, tmp_path / "there") as there:
        assert (there / "before").read_text() == "x" * 100_000
        assert not (there / "after").exists()


def test_nothing_is_written_while_a_disk_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, programs, at = tmp_path / "disk.img", tmp_path / "bin", tmp_path / "at"
    make(image, 32 << 20)
    programs.mkdir()
    (programs / "cp").write_text(
        f"#!/bin/sh\n(echo x > {at}/during; touch {tmp_path}/written) >/dev/null 2>&1 &\nsleep 0.3\n"
        f'[ ! -e {tmp_path}/written ] || exit 9\nexec /usr/bin/cp "$@"\n'
    )
    (programs / "cp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin")
    with mounted(image, at):
        disks.copy(image, at, tmp_path / "copy.img")
        deadline = time.monotonic() + 10
        while not (tmp_path / "written").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with mounted(tmp_path / "copy.img", tmp_path / "there") as there:
        assert not (there / "during").exists()


def test_a_disk_without_room_for_its_copy_goes_on_all_the_same(tmp_path: Path) -> None:
    image, small = tmp_path / "disk.img", tmp_path / "small"
    make(image, 32 << 20)
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        with mounted(image, tmp_path / "at") as at:
            (at / "large").write_bytes(b"x" * (4 << 20))
            with pytest.raises(CommandFailed, match="No space left"):
                disks.copy(image, at, small / "copy.img")
            (at / "after").write_text("goes on")
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_disk_that_was_left_frozen_is_thawed(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    make(image, 32 << 20)
    with mounted(image, tmp_path / "at") as at:
        disks.let_go(at)
        subprocess.run(["fsfreeze", "--freeze", at], check=True)
        writing = threading.Thread(target=(at / "waits").touch)
        writing.start()
        writing.join(0.2)
        assert writing.is_alive()
        disks.let_go(at)
        writing.join(10)
        assert not writing.is_alive()
