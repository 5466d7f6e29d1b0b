import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from sandboxd.sandbox import RUNC
from sandboxd.sweep import mounts, sweep

pytestmark = pytest.mark.engine


def test_what_has_no_record_is_cleared_away_and_the_rest_is_left(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test needs root"
    sandboxes, root = tmp_path / "sandboxes", tmp_path / "runc"
    for name in ("known", "unknown"):
        (sandboxes / name / "disk").mkdir(parents=True)
        image = sandboxes / name / "disk.img"
        with image.open("wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(sandboxes / name / "disk")], check=True)
    (root / "unknown").mkdir(parents=True)
    (tmp_path / "empty-8.i0123").touch()
    (tmp_path / "empty-8.img").touch()
    stray = subprocess.run(
        ["losetup", "--find", "--show", str(sandboxes / "unknown" / "disk.img")],
        capture_output=True,
        text=True,
    ).stdout.strip()
    try:
        asyncio.run(sweep(RUNC, root, sandboxes, {"known"}))
        assert [one.name for one in sandboxes.iterdir()] == ["known"]
        assert [one.name for one in tmp_path.glob("empty*")] == ["empty-8.img"]
        assert mounts(sandboxes) == [sandboxes / "known" / "disk"]
        told = subprocess.run(["losetup", "--list"], capture_output=True, text=True).stdout
        assert str(sandboxes / "unknown") not in told
        assert stray
        assert list(root.iterdir()) == []
    finally:
        subprocess.run(["umount", str(sandboxes / "known" / "disk")], check=True)
