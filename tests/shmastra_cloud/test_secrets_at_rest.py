import threading
from pathlib import Path

import pytest

from shmastra_cloud.secrets_at_rest import MasterKeyError, Vault, load_vault
from shmastra_cloud.settings import Settings


def test_what_is_sealed_opens_for_its_purpose_only() -> None:
    vault = Vault(b"k" * 32)
    sealed = vault.seal("secret", "a")
    assert b"secret" not in sealed
    assert vault.open(sealed, "a") == "secret"
    for wrong_vault, wrong_purpose in ((vault, "b"), (Vault(b"x" * 32), "a")):
        with pytest.raises(MasterKeyError):
            wrong_vault.open(sealed, wrong_purpose)
    with pytest.raises(MasterKeyError):
        vault.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "a")


def test_the_key_file_is_made_once_privately_and_by_one_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHMASTRA_DATA", str(tmp_path / "data"))
    settings = Settings()  # type: ignore[call-arg]
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


@pytest.mark.parametrize("value", ["short", "!!!!", "AAAA"])
def test_a_malformed_key_is_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHMASTRA_MASTER_KEY", value)
    with pytest.raises(MasterKeyError) as caught:
        load_vault(Settings())  # type: ignore[call-arg]
    assert value not in str(caught.value)
