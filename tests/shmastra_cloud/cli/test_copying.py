import io
import signal
import tarfile
import time
from pathlib import Path

import pytest
from tests.shmastra_cloud.housing import EMAIL, House
from tests.shmastra_cloud.webs import Web

from shmastra_cloud.cli import copying
from shmastra_cloud.cli.common import Failed
from shmastra_cloud.cli.copying import Place, place, unpack

PROJECT = "/home/user/shmastra"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "up"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.txt").write_bytes(bytes(range(256)))
    (folder / "sub" / "ü.sh").write_text("x")
    (folder / "sub" / "ü.sh").chmod(0o755)
    (folder / "link").symlink_to("sub/ü.sh")
    return folder


def seen(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_a_folder_goes_in_and_comes_out_the_same(web: Web, ann: House, tree: Path, tmp_path: Path) -> None:
    assert web.shmastra("sandbox", "cp", str(tree), f"{EMAIL}:").returncode == 0
    done = web.shmastra("sandbox", "cp", f"{ann.sandbox.sandbox_id}:up", str(tmp_path / "down"))
    assert done.returncode == 0, done.stderr
    assert seen(tmp_path / "down") == seen(tree)
    assert (tmp_path / "down/sub/ü.sh").stat().st_mode & 0o777 == 0o755
    owner = ann.sandbox.commands.run(f"stat -c %U {PROJECT}/up {PROJECT}/up/sub/ü.sh").stdout
    assert owner.split() == ["user", "user"]


def test_a_file_replaces_a_file_and_nothing_else(web: Web, ann: House, tree: Path, tmp_path: Path) -> None:
    one = str(tree / "a b.txt")
    assert web.shmastra("sandbox", "cp", one, f"{EMAIL}:/tmp/x").returncode == 0
    assert web.shmastra("sandbox", "cp", str(tree / "sub/ü.sh"), f"{EMAIL}:/tmp/x").returncode == 0
    assert ann.sandbox.files.read("/tmp/x") == "x"
    assert web.shmastra("sandbox", "cp", f"{EMAIL}:/tmp/x", str(tree)).returncode == 0
    assert (tree / "x").read_text() == "x"
    for words, reason in (
        ((str(tree), f"{EMAIL}:/tmp/x"), b"is there already"),
        ((one, f"{EMAIL}:/nowhere/x"), b"no folder /nowhere"),
        ((one, f"{EMAIL}:new/"), b"no folder new/"),
        ((str(tree / "nothing"), f"{EMAIL}:"), b"There is no"),
        ((f"{EMAIL}:nothing", str(tmp_path)), b"There is no nothing"),
        ((f"{EMAIL}:/tmp/h", str(tmp_path / "new/")), b""),
        ((f"{EMAIL}:/tmp/h", str(tmp_path / "nowhere/x")), b"no folder"),
        ((f"{EMAIL}:/tmp/h", one), b"is there already"),
    ):
        done = web.shmastra("sandbox", "cp", *words)
        assert reason in done.stderr, words
        assert done.returncode == (1 if reason else 0), words
    assert web.shmastra("sandbox", "cp", "a", "b").returncode == 2
    assert not list(tmp_path.glob(".shmastra-cp*"))
    assert ".shmastra-cp" not in ann.sandbox.commands.run(f"ls -a /tmp {PROJECT}").stdout


def test_a_copy_that_is_cut_short_changes_nothing(web: Web, ann: House, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    for number in range(20):
        with (tmp_path / "big" / str(number)).open("wb") as file:
            file.truncate(20_000_000)
    going = web.popen("sandbox", "cp", str(tmp_path / "big"), f"{EMAIL}:/tmp/big")
    deadline = time.monotonic() + 30
    while not ann.sandbox.commands.run("ls -d /tmp/.shmastra-cp* 2>/dev/null || true").stdout:
        assert time.monotonic() < deadline
    going.send_signal(signal.SIGKILL)
    going.wait(20)
    while ann.sandbox.commands.run("ls -d /tmp/.shmastra-cp* /tmp/big 2>/dev/null || true").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_which_side_is_in_a_sandbox() -> None:
    assert place("ann@example.com:src/x") == Place("ann@example.com", "src/x")
    assert place("i0abc:") == Place("i0abc", ".")
    for here in ("x", "./a:b", "/a:b", "../a:b"):
        assert place(here) == Place(None, here)


def archive(*members: tuple[str, bytes, str]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            out.addfile(member)
    made.seek(0)
    return made


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ".."])
def test_a_hostile_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Failed, match="leads elsewhere"):
        unpack(archive((name, tarfile.REGTYPE, "")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_hostile_link_or_device_is_left_out(tmp_path: Path) -> None:
    members = [
        ("d", tarfile.DIRTYPE, ""),
        ("d/out", tarfile.SYMTYPE, "../../etc"),
        ("d/absolute", tarfile.SYMTYPE, "/etc/passwd"),
        ("d/in", tarfile.SYMTYPE, "file"),
        ("d/disk", tarfile.BLKTYPE, ""),
        ("d/pipe", tarfile.FIFOTYPE, ""),
        ("d/hard", tarfile.LNKTYPE, "/etc/passwd"),
        ("d/file", tarfile.REGTYPE, ""),
    ]
    unpack(archive(*members), tmp_path)
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["file", "in"]
    with pytest.raises(FileExistsError):  # a file that would be written through a link
        unpack(archive(("l", tarfile.SYMTYPE, "x/y"), ("l", tarfile.SYMTYPE, "x/z")), tmp_path)


def test_a_torn_or_endless_stream_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        member = tarfile.TarInfo("f")
        member.size = 50_000
        out.addfile(member, io.BytesIO(b"x" * 50_000))
    with pytest.raises(Failed, match="cut short"):
        unpack(io.BytesIO(made.getvalue()[:20_000]), tmp_path)
    monkeypatch.setattr(copying, "MAX_BYTES", 10)
    with pytest.raises(Failed, match="nothing was copied"):
        unpack(io.BytesIO(made.getvalue()), tmp_path)
