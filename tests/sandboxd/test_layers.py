import tarfile
from typing import Any

import pytest

from sandboxd.errors import BadLayer
from sandboxd.layers import entry

FIRST = 1_000_000


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.uid, made.gid = kind, FIRST + 1000, FIRST + 1000
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_what_gnu_tar_says_of_a_file_is_read_to_its_last_digit() -> None:
    told = {
        "mtime": "1795885085.065124438",
        "SCHILY.xattr.user.x": "\udcff\0\n=1",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.origin": "a handle of another machine's",
        "SCHILY.xattr.security.capability": "all",
    }
    found = entry(member("./a/b", size=3, mode=0o4755, pax_headers=told), FIRST)
    assert found.path == (b"a", b"b")
    assert found.mtime == 1795885085065124438
    assert found.xattrs == {"user.x": b"\xff\0\n=1", "trusted.overlay.opaque": b"y"}
    assert (found.uid, found.mode, found.extents) == (1000, 0o4755, ((0, 3),))


def test_the_layers_root_is_a_folder_without_a_name() -> None:
    for name in (".", "./"):
        assert entry(member(name, tarfile.DIRTYPE), FIRST).path == ()
        with pytest.raises(BadLayer):
            entry(member(name), FIRST)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "./../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "",
        "..",
        "a/./b",
        "a\0b",
        "x" * 256,
        "a/" * 2100 + "b",
    ],
)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(BadLayer, match="leads out"):
        entry(member(name), FIRST)
    with pytest.raises(BadLayer, match="leads out"):
        entry(member("a", tarfile.LNKTYPE, linkname=name), FIRST)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": tarfile.CHRTYPE, "devmajor": 1, "devminor": 1},
        {"kind": tarfile.CHRTYPE, "devmajor": 0, "devminor": 1},
        {"kind": tarfile.BLKTYPE, "devmajor": 8},
        {"kind": tarfile.CONTTYPE},
        {"kind": b"S"},
        {"kind": b"V"},
        {"uid": 0},
        {"gid": 0},
        {"uid": FIRST + 65536},
        {"uid": FIRST - 1},
        {"kind": tarfile.DIRTYPE, "size": 5},
        {"kind": tarfile.SYMTYPE, "linkname": ""},
        {"kind": tarfile.SYMTYPE, "linkname": "x" * 5000},
        {"size": -1},
        {"size": 10, "sparse": [(0, 4), (2, 4)]},
        {"size": 10, "sparse": [(4, -2)]},
        {"size": 10, "sparse": [(-4, 4)]},
        {"size": 10, "sparse": [(8, 4)]},
        {"pax_headers": {"mtime": "soon"}},
        {"pax_headers": {"mtime": "Infinity"}},
    ],
    ids=str,
)
def test_what_no_layer_holds_is_refused(fields: dict[str, Any]) -> None:
    kind = fields.pop("kind", tarfile.REGTYPE)
    with pytest.raises(BadLayer):
        entry(member("a", kind, **fields), FIRST)


def test_a_whiteout_a_pipe_and_a_link_out_of_the_layer_are_what_they_are() -> None:
    assert entry(member("w", tarfile.CHRTYPE), FIRST).kind == "whiteout"
    assert entry(member("p", tarfile.FIFOTYPE), FIRST).kind == "pipe"
    # a link's text is read by those inside only
    assert entry(member("l", tarfile.SYMTYPE, linkname="/etc/shadow"), FIRST).target == b"/etc/shadow"
    assert entry(member("h", tarfile.LNKTYPE, linkname="./a/b"), FIRST).twin == (b"a", b"b")
    holes = entry(member("s", size=1 << 40, sparse=[(4096, 10), (1 << 39, 1)]), FIRST)
    assert holes.extents == ((4096, 10), (1 << 39, 1))
