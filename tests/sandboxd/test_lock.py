import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandboxd import lock

HOLD = "import sys, pathlib, time; from sandboxd import lock; lock.take(pathlib.Path(sys.argv[1]))"


def test_the_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    held = lock.take(tmp_path)
    with pytest.raises(lock.Taken, match=f"pid {os.getpid()};"):
        lock.take(tmp_path)
    os.close(held)
    os.close(lock.take(tmp_path))


def test_what_a_killed_daemon_started_is_waited_for(tmp_path: Path) -> None:
    more = "; import subprocess, os; subprocess.Popen(['sleep', '1'], pass_fds=[3])"
    code = (
        HOLD.replace("lock.take(", "fd = lock.take(") + "; import os; os.dup2(fd, 3)" + more + "; os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    begun = time.monotonic()
    os.close(lock.take(tmp_path))
    assert time.monotonic() - begun > 0.3
