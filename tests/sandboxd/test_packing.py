import asyncio
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from sandboxd import disks, packing, unpacking

pytestmark = pytest.mark.engine
FIRST = 1_000_000


def furnish(root: Path) -> None:
    """Put one of everything under a folder."""
    (root / "d").mkdir()
    (root / "d/a").write_text("hi")
    os.link(root / "d/a", root / "d/b")
    (root / "l").symlink_to("../../etc/passwd")
    os.mkfifo(root / "p", 0o640)
    os.mknod(root / "w", 0o20000, 0)
    with (root / "s").open("wb") as file:
        file.seek(1 << 40)
        file.write(b"end")
    (root / ("x" * 200)).mkdir()
    (root / ("x" * 200) / ("y" * 200)).write_text("long")
    (root / os.fsdecode(b"bad\xffname")).write_text("q")
    os.setxattr(root / "d", "trusted.overlay.opaque", b"y")
    os.setxattr(root / "d", "trusted.overlay.origin", bytes(range(29)))
    os.setxattr(root / "d/a", "user.x", b"\xff\0\n=1")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "sock"))
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            os.utime(path, ns=(5, 1_700_000_000_123_456_789))
        os.chown(path, FIRST + 1000, FIRST + 7, follow_symlinks=False)
    (root / "d/a").chmod(0o4750)


def seen(root: Path) -> dict[str, object]:
    """Say all that there is to say of what is under a folder."""
    found: dict[str, object] = {}
    for path in sorted([root, *root.rglob("*")]):
        told = path.lstat()
        if stat.S_ISSOCK(told.st_mode):
            continue
        regular = stat.S_ISREG(told.st_mode)
        attributes = (
            {} if path.is_symlink() else {name: os.getxattr(path, name) for name in os.listxattr(path)}
        )
        attributes.pop("trusted.overlay.origin", None)
        found[str(path.relative_to(root))] = (
            oct(told.st_mode),
            told.st_uid,
            told.st_gid,
            told.st_mtime_ns if not path.is_symlink() else None,
            told.st_nlink if regular else None,
            told.st_size if regular else None,
            path.readlink() if path.is_symlink() else None,
            path.read_bytes() if regular and told.st_size < 1 << 20 else None,
            attributes,
        )
    return found


def test_a_layer_is_the_same_after_packing_and_unpacking(tmp_path: Path) -> None:
    first, second, at = tmp_path / "first.img", tmp_path / "second.img", tmp_path / "at"
    at.mkdir()
    for image in (first, second):
        asyncio.run(disks.make_empty(image, 64 << 20))
    subprocess.run(["mount", "-o", "loop", first, at], check=True)
    try:
        (at / "upper").mkdir()
        furnish(at / "upper")
        (at / "work").mkdir()
        before = seen(at / "upper")
    finally:
        subprocess.run(["umount", at], check=True)
    packed = tmp_path / "packed.tar"
    with packed.open("wb") as out:
        done = subprocess.run(packing.disk_argv(first, at), stdout=out, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert packed.stat().st_size < 1 << 20
    with packed.open("rb") as into:
        subprocess.run(unpacking.disk_argv(second, at, FIRST), stdin=into, check=True)
    assert str(at) not in Path("/proc/mounts").read_text()
    subprocess.run(["mount", "-o", "loop,ro", second, at], check=True)
    try:
        assert seen(at / "upper") == before
        assert len(before) == 11
    finally:
        subprocess.run(["umount", at], check=True)


def test_what_is_mounted_over_in_every_sandbox_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "rootfs/dev").mkdir(parents=True)
    os.mknod(tmp_path / "rootfs/dev/null", 0o20666, os.makedev(1, 3))
    (tmp_path / "rootfs/etc").mkdir()
    done = subprocess.run(packing.template_argv(tmp_path), capture_output=True, check=True)
    listed = subprocess.run(["tar", "-t"], input=done.stdout, capture_output=True, check=True)
    assert sorted(listed.stdout.decode().split()) == ["./", "./dev/", "./etc/"]


def test_room_is_what_is_written_not_what_a_file_seems_to_be(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"x" * 8192)
    assert 8192 <= packing.used_bytes(tmp_path) < 100_000
