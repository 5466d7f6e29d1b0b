import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shmastra_cloud.secrets_at_rest import KeyFile, MasterKeyError, Vault, key_name

A, B = b"a" * 32, b"b" * 32
KEY, TOKEN = "users.virtual_key", "sandboxes.mastra_token"


def unnamed(key: bytes, text: str, purpose: str) -> bytes:
    """What was written before ciphertexts named their key."""
    return b"\x01" + b"n" * 12 + AESGCM(key).encrypt(b"n" * 12, text.encode(), purpose.encode())


def test_what_is_sealed_opens_for_its_purpose_only() -> None:
    vault = Vault(A)
    sealed = vault.seal("secret", KEY)
    assert b"secret" not in sealed
    assert vault.open(sealed, KEY) == "secret"
    assert vault.seal("secret", KEY) != sealed
    for wrong_vault, wrong_purpose in ((vault, TOKEN), (Vault(B), KEY)):
        with pytest.raises(MasterKeyError):
            wrong_vault.open(sealed, wrong_purpose)
    for wrong in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b"", b"\x02", b"\x07" + sealed[1:]):
        with pytest.raises(MasterKeyError):
            vault.open(wrong, KEY)


def test_a_ciphertext_names_its_key_and_that_it_is_not_at_hand() -> None:
    sealed = Vault(A).seal("secret", KEY)
    name = key_name(Vault(A).fingerprint)
    assert sealed[1:9].hex() == name
    with pytest.raises(MasterKeyError, match=f"{name}, which .* not have.*SHMASTRA_MASTER_KEY"):
        Vault(B).open(sealed, KEY)


def test_one_of_several_keys_seals_and_every_one_opens() -> None:
    vault = Vault(A, B)
    old = vault.seal("old", KEY)
    vault.use(Vault(B).fingerprint)
    assert vault.fingerprint == Vault(B).fingerprint
    new = vault.seal("new", KEY)
    assert (vault.open(old, KEY), vault.open(new, KEY)) == ("old", "new")
    assert Vault(B).open(new, KEY) == "new"
    with pytest.raises(MasterKeyError, match="is not at hand"):
        vault.use(Vault(b"c" * 32).fingerprint)
    with pytest.raises(MasterKeyError, match="32 bytes"):
        Vault(b"short")


def test_what_names_no_key_opens_with_whichever_it_is() -> None:
    assert Vault(B, A).open(unnamed(A, "old", KEY), KEY) == "old"
    with pytest.raises(MasterKeyError):
        Vault(B).open(unnamed(A, "old", KEY), KEY)


def test_keys_in_a_file_are_followed_when_one_is_missed(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "master.key")
    file.create()
    vault, other = Vault(*file.read(), file=file), Vault(*file.read(), file=file)
    other.use(other.add(B))
    assert vault.open(other.seal("x", KEY), KEY) == "x"
    vault.use(other.fingerprint)
    file.path.write_bytes(base64.b64encode(A))
    vault.reload()
    assert vault.fingerprints == {Vault(A).fingerprint, Vault(B).fingerprint}  # what seals is kept


def test_keys_are_kept_while_their_file_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(tmp_path / "master.key")
    file.create()
    vault = Vault(*file.read(), file=file)
    sealed = vault.seal("x", KEY)
    file.path.write_text("nonsense")
    vault.reload()
    assert vault.open(sealed, KEY) == "x"
    assert "kept as they were" in caplog.text
    assert "nonsense" not in caplog.text
