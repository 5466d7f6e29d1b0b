import pytest

from sandboxd.cli import limits_from_env
from sandboxd.spec import Limits


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits_from_env() == Limits()
    monkeypatch.setenv("SHMASTRA_SANDBOX_MEMORY_MB", "128")
    monkeypatch.setenv("SHMASTRA_SANDBOX_CPUS", "0.5")
    assert limits_from_env() == Limits(memory_mb=128, cpus=0.5)
