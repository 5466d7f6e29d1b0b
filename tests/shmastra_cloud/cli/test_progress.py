import io

import pytest

from shmastra_cloud.cli import progress
from shmastra_cloud.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_now_and_then_and_a_file_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0)
    for stream, told in ((Terminal(), "\r1.0 MB \r\r2.5 MB \r"), (io.StringIO(), "")):
        monkeypatch.setattr("sys.stderr", stream)
        going = Progress()
        going.add(1_000_000)
        going.add(1_500_000)
        assert stream.getvalue() == told
