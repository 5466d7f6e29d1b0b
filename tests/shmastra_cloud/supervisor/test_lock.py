import os
from pathlib import Path

import pytest

from shmastra_cloud.supervisor import AlreadyRunning
from shmastra_cloud.supervisor.lock import held


def test_a_second_holder_is_told_of_the_first(tmp_path: Path) -> None:
    with held(tmp_path, "http://127.0.0.1:3000"):
        with pytest.raises(AlreadyRunning, match=str(os.getpid())) as caught, held(tmp_path, "x"):
            pass
        assert "http://127.0.0.1:3000" in str(caught.value)
    with held(tmp_path, "again"):
        pass


def test_rubbish_in_the_file_is_survived(tmp_path: Path) -> None:
    with held(tmp_path, "x"):
        (tmp_path / "lock").write_text("\x00rubbish")
        with pytest.raises(AlreadyRunning, match="another process"), held(tmp_path, "y"):
            pass
