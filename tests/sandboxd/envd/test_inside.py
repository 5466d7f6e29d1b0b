import json
import subprocess
import sys
from pathlib import Path

from sandboxd.envd import inside


def ask(path: str, data: bytes = b"", **operation: object) -> dict[str, object]:
    asked = json.dumps({"home": "/nowhere", "path": path, **operation})
    argv = [sys.executable, "-I", inside.__file__, asked]
    told = subprocess.run(argv, input=data, capture_output=True, check=True).stdout
    return dict(json.loads(told.splitlines()[0]))


def test_a_write_is_whole_and_keeps_the_mode(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "f"
    ask(str(file), b"one", do="write")
    file.chmod(0o700)
    ask(str(file), b"two", do="write")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"two", 0o700)
    assert [one.name for one in file.parent.iterdir()] == ["f"]


def test_errors_are_named_and_the_home_is_where_relative_paths_begin(tmp_path: Path) -> None:
    assert ask("x", do="stat")["error"] == "FileNotFoundError"
    (tmp_path / "f").touch()
    assert ask(str(tmp_path / "f"), do="make_dir")["error"] == "FileExistsError"
    assert ask(str(tmp_path / "f"), do="list", depth=1)["error"] == "NotADirectoryError"
