import base64
import threading
from pathlib import Path

import pytest

from shmastra_cloud.secrets_at_rest import MasterKeyError, Vault, load_vault
from shmastra_cloud.settings import load_settings

A, B = b"a" * 32, b"b" * 32


def test_the_key_file_is_made_once_privately_and_by_one_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path / "data"))
    settings = load_settings()
    prints: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: prints.append(load_vault(settings).fingerprint)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(prints) == 8
    assert len(set(prints)) == 1
    key = tmp_path / "data" / "master.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in key.parent.iterdir()] == ["master.key"]


def test_several_keys_may_stand_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", ", ".join(base64.b64encode(key).decode() for key in (A, B)))
    vault = load_vault(load_settings())
    assert vault.fingerprint == Vault(A).fingerprint
    assert vault.fingerprints == {Vault(A).fingerprint, Vault(B).fingerprint}


@pytest.mark.parametrize("value", ["short", "!!!!", "AAAA", base64.b64encode(A).decode() + ",AAAA"])
def test_a_malformed_key_is_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", value)
    with pytest.raises(MasterKeyError) as caught:
        load_vault(load_settings())
    assert value not in str(caught.value)
