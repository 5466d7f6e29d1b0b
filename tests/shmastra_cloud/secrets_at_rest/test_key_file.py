import base64
import os
from pathlib import Path

import pytest

from shmastra_cloud.secrets_at_rest import KeyFile, MasterKeyError, Vault, decode_key, key_name

A, B = b"a" * 32, b"b" * 32


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    path = tmp_path / "master.key"
    path.touch(0o600)
    path.write_bytes(base64.b64encode(A) + b"\n")
    return KeyFile(path)


def test_a_key_is_added_and_moved_away_privately(file: KeyFile) -> None:
    file.add(B)
    file.add(B)
    assert file.read() == [A, B]
    moved = file.retire(Vault(A).fingerprint)
    assert moved is not None
    assert moved.name == f"master.key.retired-{key_name(Vault(A).fingerprint)}"
    assert (KeyFile(moved).read(), file.read()) == ([A], [B])
    assert file.retire(Vault(A).fingerprint) == moved
    assert {path.stat().st_mode & 0o777 for path in file.path.parent.iterdir()} == {0o600}
    assert len(list(file.path.parent.iterdir())) == 2


def test_a_file_keeps_its_owner_and_a_link_stays_one(file: KeyFile, tmp_path: Path) -> None:
    os.chown(file.path, 4711, 4711)
    link = tmp_path / "link"
    link.symlink_to(file.path)
    KeyFile(link).add(B)
    assert link.is_symlink()
    assert (file.path.stat().st_uid, file.read()) == (4711, [A, B])
    moved = KeyFile(link).retire(Vault(A).fingerprint)
    assert moved is not None
    assert KeyFile(link).retire(b"unknown") is None
    assert (moved.stat().st_uid, moved.name[:10]) == (4711, "master.key")


def test_a_write_that_fails_leaves_the_file_as_it_was(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MasterKeyError, match=r"Cannot write .*No space left"):
        file.add(B)
    assert file.read() == [A]


@pytest.mark.parametrize("text", ["", "!!!!", "AAAA", "AAAA\n" + base64.b64encode(A).decode(), "\udcff"])
def test_a_file_that_holds_no_keys_is_named_and_not_shown(file: KeyFile, text: str) -> None:
    file.path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(MasterKeyError, match=str(file.path)) as caught:
        file.read()
    assert "AAAA" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="No such file"):
        KeyFile(tmp_path / "none").read()


def test_a_key_is_32_bytes_in_base64() -> None:
    assert decode_key(f" {base64.b64encode(A).decode()}\n", "x") == A
    for wrong in ("", "é", base64.b64encode(b"k" * 31).decode(), "k" * 32):
        with pytest.raises(MasterKeyError, match="the option does not hold 32 bytes"):
            decode_key(wrong, "the option")
