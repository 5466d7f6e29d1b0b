"""Names of files, branches and programs that a shell or git could take for something else.

OpenHands CVE-2026-33718: a file's name became a part of a ``git`` command line.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from shmastra_cloud.admin.inside import _TAIL
from shmastra_cloud.cli.copying import _GET, _PUT, COMPLETE, CONTENT

# Each would make `ran`, or take a name for an option, if any part of it were a command.
NAMES = [
    "$(touch ran)",
    "`touch ran`",
    "; touch ran;",
    "x'; touch ran; '",
    'x"; touch ran; "',
    "x\ntouch ran",
    "| touch ran",
    "&& touch ran",
    "-rf",
    "--checkpoint-action=exec=touch ran",
    "--to-command=touch ran",
    "--upload-pack=touch ran",
    "--use-compress-program=touch ran",
    "*",
    "${IFS}touch${IFS}ran",
    "a b\tc",
    "~root",
]


def bash(script: str, *words: str, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run one of our scripts as it is run in a sandbox, with its words."""
    argv = ["/bin/bash", "-c", script, "bash", *words]
    return subprocess.run(argv, cwd=cwd, input=stdin, capture_output=True, timeout=20)


def packed() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in (CONTENT, COMPLETE):
            told = tarfile.TarInfo(name)
            told.size = 4
            tar.addfile(told, io.BytesIO(b"mine"))
    return out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_goes_into_a_file_of_that_very_name(tmp_path: Path, name: str) -> None:
    place = tmp_path / "in"
    place.mkdir()
    done = bash(_PUT, f"{place}/{name}", name, cwd=place, stdin=packed())
    assert done.returncode == 0, done.stderr
    assert [one.name for one in place.iterdir()] == [name]
    assert (place / name).read_bytes() == b"mine"


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_into_a_folder_takes_the_name_as_it_is(tmp_path: Path, name: str) -> None:
    done = bash(_PUT, str(tmp_path), name, cwd=tmp_path, stdin=packed())
    assert done.returncode == 0, done.stderr
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_out_of_a_sandbox_packs_that_file_and_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "other").write_bytes(b"not mine")
    done = bash(_GET, f"./{name}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.getnames() == [name]
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([name, "other"])


@pytest.mark.parametrize("name", NAMES)
def test_the_end_of_a_log_is_read_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"a line\n")
    argv = ["/bin/sh", "-c", _TAIL, "sh", f"./{name}", "shmastra", "-n", "5", "--", f"./{name}"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=20)
    assert done.stdout == b"a line\n"
    assert [one.name for one in tmp_path.iterdir()] == [name]


SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_line_of_ours_is_given_to_a_shell_of_the_host(file: Path) -> None:
    """Every program is started by a list of words; the scripts above are the only ones, and are constants."""
    text = file.read_text()
    for word in ("shell=True", "os.system(", "create_subprocess_shell", "os.popen("):
        assert word not in text, f"{file} uses {word}"
