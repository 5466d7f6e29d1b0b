import contextlib
import os
from pathlib import Path

import pytest
from tests.sandboxd.envd.inside.support import Inside, inside

from sandboxd.envd.inside import files


def upload(helper: Inside, path: Path, *pieces: bytes, whole: bool = True) -> dict[str, object]:
    given, ours = os.pipe()
    helper.ask("write", [given], path=str(path), metadata={"who": "ann"})
    with contextlib.suppress(BrokenPipeError):
        for piece in pieces:
            os.write(ours, len(piece).to_bytes(4, "big") + piece)
        if whole:
            os.write(ours, bytes(4))
    os.close(ours)
    return helper.answer()


def test_a_write_is_whole_or_not_at_all_and_keeps_the_mode(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "f"
    with inside() as helper:
        assert upload(helper, file, b"o", b"ne")["ok"]
        file.chmod(0o700)
        told = upload(helper, file, b"two", whole=False)
        assert "before its end" in str(told["error"])
        assert file.read_bytes() == b"one"
        told = upload(helper, file, b"three")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"three", 0o700)
    assert [one.name for one in file.parent.iterdir()] == ["f"]
    assert files.entry(file)["metadata"] == {"who": "ann"}


def test_what_is_not_a_file_is_neither_read_nor_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with inside() as helper:
        for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero")):
            output, theirs = os.pipe()
            helper.ask("read", [theirs], path=str(path))
            assert helper.answer()["error"]["kind"] == "IsADirectoryError", path
            os.close(output)
            assert "error" in upload(helper, path, b"x")


def test_names_of_any_bytes_are_shown_and_long_ones_written(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\n")).touch()
    longest = tmp_path / ("n" * 255)
    with inside() as helper:
        assert upload(helper, longest, b"x")["ok"]
        assert upload(helper, tmp_path / ("n" * 256), b"x")["error"]["errno"] == 36  # type: ignore[index]
    [[first, second]] = list(files.listing(tmp_path, 1))
    assert {first["name"], second["name"]} == {"n" * 255, "\ufffd\n"}


def test_a_listing_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ENTRIES", 3)
    for name in "abc":
        (tmp_path / name).touch()
    assert sum(len(part) for part in files.listing(tmp_path, 1)) == 3
    (tmp_path / "d").touch()
    with pytest.raises(OverflowError, match="more than 3 files"):
        list(files.listing(tmp_path, 1))


def test_paths_begin_at_the_home(tmp_path: Path) -> None:
    assert files.located("/home/user", "a/b") == Path("/home/user/a/b")
    assert files.located("/home/user", "~/a") == files.located("/home/user", "a")
    assert files.located("/home/user", "/a") == Path("/a")
    with pytest.raises(ValueError, match="null"):
        files.located("/", "a\0b")


def test_removing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "none")
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(FileExistsError):
        files.make_dir(tmp_path / "kept")
    assert files.move(tmp_path / "kept", tmp_path / "x" / "y")["kind"] == "dir"
