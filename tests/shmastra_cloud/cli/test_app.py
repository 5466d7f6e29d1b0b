import os
import subprocess
import sys
from pathlib import Path


def shmastra(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shmastra_cloud", *arguments]
    whole = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=60)


def test_nothing_running_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = shmastra("--data", str(tmp_path), "user", "list")
    assert done.returncode == 1
    assert "Is it running?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bad_setting_is_named() -> None:
    done = shmastra("web", SHMASTRA_PORT="99999")
    assert (done.returncode, "SHMASTRA_PORT" in done.stderr) == (1, True)


def test_wrong_usage_is_2() -> None:
    assert shmastra("user", "frobnicate").returncode == 2


def test_migrate_says_what_it_did(empty_dsn: str) -> None:
    assert shmastra("migrate", DATABASE_URL=empty_dsn).stdout.startswith("applied 001_init")
    assert shmastra("migrate", DATABASE_URL=empty_dsn).stdout == "nothing to do\n"
    assert "DATABASE_URL" in shmastra("migrate").stderr


def test_a_shell_can_complete_words() -> None:
    command = [str(Path(sys.executable).with_name("shmastra"))]
    asked = {"_SHMASTRA_COMPLETE": "complete_bash", "COMP_WORDS": "shmastra user ro", "COMP_CWORD": "2"}
    done = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["role"]
