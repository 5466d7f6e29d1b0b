import os
import subprocess
from pathlib import Path

import pytest

from sandboxd.idmap import bind_idmapped

pytestmark = pytest.mark.engine


def test_one_file_has_another_owner_under_each_mount(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test needs root"
    source = tmp_path / "source"
    source.mkdir()
    (source / "root").touch()
    (source / "user").touch()
    os.chown(source / "user", 1000, 1000)
    for first in (1_000_000, 2_000_000):
        target = tmp_path / str(first)
        target.mkdir()
        bind_idmapped(source, target, first)
        try:
            assert (target / "root").stat().st_uid == first
            assert (target / "user").stat().st_uid == first + 1000
            with pytest.raises(OSError, match="Read-only"):
                (target / "new").touch()
        finally:
            subprocess.run(["umount", str(target)], check=True)
