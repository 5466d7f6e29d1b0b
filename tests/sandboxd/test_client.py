from pathlib import Path

import pytest

from sandboxd import address
from sandboxd.client import Client
from sandboxd.errors import EngineError


def test_a_daemon_that_is_not_there_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SANDBOXD_API_KEY", raising=False)
    with pytest.raises(EngineError, match="--data"):
        Client.of(tmp_path)
    address.write(tmp_path, ("127.0.0.1", 1))
    with pytest.raises(EngineError, match="SANDBOXD_API_KEY"):
        Client.of(tmp_path)
    (tmp_path / "api-key").write_text("e2b_0\n")
    with pytest.raises(EngineError, match="sandboxd serve"):
        Client.of(tmp_path).sandboxes()
