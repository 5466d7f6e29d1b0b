import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxd import unpacking
from sandboxd.errors import BadLayer
from sandboxd.unpacking import unpack

pytestmark = pytest.mark.engine
FIRST = 1_000_000
Add = Callable[..., None]


def stream(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            member.size = len(data)
            member.uid = member.gid = FIRST + 1000
            tar.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


def one(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, 0o755
    return made, data


def test_a_link_in_the_way_is_never_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "kept").write_text("mine")
    for number, way in enumerate((str(outside), "../../outside", "..")):
        link = one(f"./l{number}", kind=tarfile.SYMTYPE, target=way)
        for inner in (
            one(f"./l{number}/new", b"theirs"),
            one(f"./l{number}/new", kind=tarfile.DIRTYPE),
            one(f"./l{number}/new", kind=tarfile.LNKTYPE, target=f"./l{number}/kept"),
            one("./h", kind=tarfile.LNKTYPE, target=f"./l{number}/kept"),
            one(f"./l{number}", b"through the link"),
        ):
            with pytest.raises(BadLayer, match="does not fit"):
                unpack(stream(link, inner), root, FIRST)
            (root / f"l{number}").unlink()
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "mine"
    assert (outside / "kept").stat().st_nlink == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


def test_a_hard_link_to_a_link_is_one_more_link(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.write_text("mine")
    root.mkdir()
    link = one("./l", kind=tarfile.SYMTYPE, target=str(outside))
    unpack(stream(link, one("./h", kind=tarfile.LNKTYPE, target="./l")), root, FIRST)
    assert outside.stat().st_nlink == 1
    assert (root / "h").is_symlink()
    assert (root / "h").lstat().st_nlink == 2


@pytest.mark.parametrize(
    "members",
    [
        [one("./a", b"1"), one("./a", b"2")],
        [one("./a/b", b"1")],
        [one("./a", b"1"), one("./a/b", b"1")],
        [one("./h", kind=tarfile.LNKTYPE, target="./none")],
        [one("./h", kind=tarfile.LNKTYPE, target=".")],
    ],
    ids=["twice", "no folder", "file as folder", "link to nothing", "link to the root"],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with pytest.raises((BadLayer, OSError)):
        unpack(stream(*members), tmp_path, FIRST)


def test_rubbish_a_cut_and_a_tail_are_refused(tmp_path: Path) -> None:
    whole = stream(one("./a", b"x" * 5000)).getvalue()
    for number, data in enumerate(
        (b"rubbish" * 200, whole[:3000], whole[:1024], whole + b"more" + b"\0" * 508)
    ):
        root = tmp_path / str(number)
        root.mkdir()
        with pytest.raises(BadLayer):
            unpack(io.BytesIO(data), root, FIRST)


def test_a_header_that_asks_for_all_memory_ends_the_program_in_one_sentence(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    block = header.tobuf(tarfile.GNU_FORMAT)
    argv = unpacking.template_argv(tmp_path)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        zeros = b"\0" * (1 << 20)
        try:
            process.stdin.write(block)
            for _ in range(4096):
                process.stdin.write(zeros)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.wait(60) == unpacking.REFUSED, said
    assert "more memory" in said


def test_a_template_loses_what_would_run_as_root_on_this_machine(tmp_path: Path) -> None:
    made = tarfile.TarInfo("./su")
    made.mode, made.size = 0o6755, 2
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(made, io.BytesIO(b"#!"))
    argv = unpacking.template_argv(tmp_path)
    done = subprocess.run(argv, input=out.getvalue(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rootfs/su").stat().st_mode & 0o7777 == 0o755


def test_folders_keep_their_times_and_files_their_holes(tmp_path: Path) -> None:
    folder, inner = one("./d", kind=tarfile.DIRTYPE), one("./d/a", b"x")
    folder[0].mtime = inner[0].mtime = 1_000_000_000
    unpack(stream(folder, inner), tmp_path, FIRST)
    assert (tmp_path / "d").stat().st_mtime == 1_000_000_000
    assert (tmp_path / "d/a").stat().st_mtime == 1_000_000_000
    assert (tmp_path / "d/a").stat().st_uid == FIRST + 1000
