from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shmastra_cloud.backup import BadBackup
from shmastra_cloud.backup.archive import PART_BYTES, Reader, Writer

LARGE = os.urandom(1 << 20) * 9 + b"end"


def written(members: dict[str, bytes]) -> bytes:
    out = BytesIO()
    writer = Writer(out)
    for name, data in members.items():
        with writer.member(name) as sink:
            for start in range(0, len(data), 700_001):
                sink.write(data[start : start + 700_001])
    writer.finish()
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    return {name: b"".join(body) for name, body in Reader(BytesIO(data)).members()}


def test_what_is_written_is_read_and_summed_up() -> None:
    members = {"format": b"x", "empty": b"", "a/b/large.tar": LARGE, "whole": b"y" * PART_BYTES}
    out = BytesIO()
    writer = Writer(out)
    for name, data in members.items():
        writer.add(name, data)
    writer.finish()
    assert read(out.getvalue()) == members
    reader = Reader(BytesIO(out.getvalue()))
    for _name, _body in reader.members():
        pass  # what nobody reads is summed up all the same
    assert reader.read == writer.members
    assert [one.size for one in reader.read] == [1, 0, len(LARGE), PART_BYTES]


def test_the_usual_programs_take_it_apart(tmp_path: Path) -> None:
    (tmp_path / "backup.tar.zst").write_bytes(written({"a/large": LARGE, "b": b"b"}))
    subprocess.run(["tar", "--zstd", "-xf", "backup.tar.zst"], cwd=tmp_path, check=True)
    parts = sorted((tmp_path / "a/large").iterdir())
    assert [part.name for part in parts] == ["000000", "000001", "000002"]
    assert b"".join(part.read_bytes() for part in parts) == LARGE


def test_a_cut_anywhere_is_seen() -> None:
    whole = written({"a": b"x" * 5000, "b": os.urandom(5000)})
    checksum = 4  # of the whole; without it all that it sums up has been read
    for end in (0, 1, 10, len(whole) // 2, len(whole) - checksum - 1):
        with pytest.raises(BadBackup):
            read(whole[:end])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_seen(data: st.DataObject) -> None:
    """By zstd's own checksum; of what was changed on purpose, the manifest knows."""
    whole = bytearray(SMALL)
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with suppress(BadBackup):
        assert read(bytes(whole)) == CONTENT  # a bit that means nothing


CONTENT = {"a": b"x" * 900, "b": bytes(range(256)) * 3}
SMALL = written(CONTENT)


def _packed(*blocks: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(b"".join(blocks))


def _header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    for field, value in fields.items():
        setattr(made, field, value)
    return made.tobuf(tarfile.GNU_FORMAT)


END = b"\0" * 1024
FORGERIES: dict[str, Callable[[], bytes]] = {
    "rubbish": lambda: b"rubbish" * 100,
    "packed rubbish": lambda: _packed(b"rubbish" * 100),
    "nothing": lambda: b"",
    "a link": lambda: _packed(_header("a/000000", kind=tarfile.SYMTYPE, linkname="/etc/passwd"), END),
    "a device": lambda: _packed(_header("a/000000", kind=tarfile.CHRTYPE), END),
    "a long name's header": lambda: _packed(_header("././@LongLink", 1 << 33, b"L"), END),
    "a pax header": lambda: _packed(_header("a/000000", 1 << 33, tarfile.XHDTYPE), END),
    "a part that is too large": lambda: _packed(
        _header("a/000000", PART_BYTES + 1), b"x" * (PART_BYTES + 512), END
    ),
    "a name that leads out": lambda: _packed(_header("../a/000000"), END),
    "a name from the root": lambda: _packed(_header("/a/000000"), END),
    "a name without a part": lambda: _packed(_header("a"), END),
    "a second part first": lambda: _packed(_header("a/000001"), END),
    "a part that is missing": lambda: _packed(_header("a/000000"), _header("a/000002"), END),
    "a part that comes twice": lambda: _packed(_header("a/000000"), _header("a/000000"), END),
    "something behind the end": lambda: _packed(_header("a/000000"), END, b"more"),
    "a second frame": lambda: written({"a": b"1"}) + written({"b": b"2"}),
    "more than a backup holds": lambda: _packed(*(_header(f"m{n}/000000") for n in range(10_002)), END),
    "a window that takes all memory": lambda: zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=28)
    ).compress(b"\0" * (1 << 20)),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_file_that_is_no_backup_is_refused(what: str) -> None:
    with pytest.raises(BadBackup):
        read(FORGERIES[what]())


def test_a_name_that_no_reader_takes_is_not_written() -> None:
    for name in ("../a", "/a", "a b", "", "a/../b", "x" * 91):
        with pytest.raises(ValueError, match="cannot be"), Writer(BytesIO()).member(name):
            pass
