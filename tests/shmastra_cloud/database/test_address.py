from pathlib import Path

import pytest

from shmastra_cloud.database import UnsuitableDatabase, cleaned, shown
from shmastra_cloud.database.address import is_socket

DIRECT = "postgresql://postgres:s3cret@db.abcdefgh.supabase.co:5432/postgres"
SESSION = "postgres://postgres.abcdefgh:s3cret@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"


@pytest.mark.parametrize(
    "dsn",
    [
        DIRECT,
        SESSION,
        f"{DIRECT}?sslmode=require",
        f"{DIRECT}?options=-c%20search_path%3Dpublic",
        "postgresql://u:p%40ss%2Fw%3A%23%3F%25@h:5432/x",
        "postgresql://u@[2001:db8::1]:5432/x",
        "postgresql:///x?host=/run/postgresql",
        "postgresql:///x?host=h&user=a@b",
    ],
)
def test_what_can_be_used_is_left_as_it_is(dsn: str) -> None:
    assert cleaned(f" {dsn}\n") == dsn


def test_what_other_drivers_want_is_left_out() -> None:
    others = "channel_binding=require&connection_limit=1&supa=base-pooler.x&schema=public"
    given = f"{SESSION}?sslmode=require&{others}"
    assert cleaned(given) == f"{SESSION}?sslmode=require"
    assert cleaned(f"{DIRECT}?connect_timeout=10") == DIRECT


@pytest.mark.parametrize(
    "dsn",
    [
        SESSION.replace(":5432", ":6543"),
        DIRECT.replace(":5432", ":6543"),
        "postgresql://u:s3cret@h:6432/x?pgbouncer=true",
    ],
)
def test_the_string_of_a_transaction_pooler_is_known_before_it_is_tried(dsn: str) -> None:
    with pytest.raises(UnsuitableDatabase, match="session-mode string"):
        cleaned(dsn)


@pytest.mark.parametrize(
    "password", ["s3#cret", "s3/cret", "s3?cret", "s3@cret", "[s3]cret", "s3%cret", "s3:c/ret", "s3cret%"]
)
def test_a_password_that_is_to_be_encoded_is_explained_and_not_shown(password: str) -> None:
    with pytest.raises(UnsuitableDatabase, match="%3A %2F %3F") as caught:
        cleaned(f"postgresql://postgres:{password}@db.example.com:5432/postgres")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("https://abcdefgh.supabase.co", "not the project's https"),
        ("postgresql+asyncpg://u:s3cret@h/x", "must begin with postgresql://"),
        ("", "must begin with postgresql://"),
        (DIRECT.replace("s3cret", "[YOUR-PASSWORD]"), "the place for the password"),
        ("postgresql://u:s3cret@h:port/x", "cannot be read"),
        (f"{DIRECT}?sslrootcert=/nowhere/ca.crt", "/nowhere/ca.crt"),
    ],
)
def test_what_can_never_be_used_is_told(dsn: str, told: str) -> None:
    with pytest.raises(UnsuitableDatabase, match=told) as caught:
        cleaned(dsn)
    assert "s3cret" not in str(caught.value)


def test_a_file_of_authorities_becomes_one_that_every_process_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prod-ca-2021.crt").touch()
    monkeypatch.chdir(tmp_path)
    found = cleaned(f"{DIRECT}?sslmode=verify-full&sslrootcert=prod-ca-2021.crt")
    assert found == f"{DIRECT}?sslmode=verify-full&sslrootcert={tmp_path}/prod-ca-2021.crt"
    assert "sslrootcert=/" in cleaned(f"{DIRECT}?sslmode=verify-full&sslrootcert=system")


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("postgresql://me:secret@db.example:5432/x?sslmode=require", "postgresql://me@db.example:5432/x"),
        ("postgresql://me:secret@[::1]:5432/x", "postgresql://me@[::1]:5432/x"),
        ("postgresql://me:secret@/x?host=/run/pg&password=secret", "postgresql://me@/x?host=/run/pg"),
        ("postgresql://me:se cret@h:port/x", "an address that cannot be read"),
        ("postgresql://me:[secret@h/x", "an address that cannot be read"),
        ("", "://"),
    ],
)
def test_an_address_is_shown_without_its_password(dsn: str, told: str) -> None:
    assert shown(dsn) == told


def test_a_socket_is_told_from_a_host() -> None:
    assert is_socket("postgresql:///x?host=/run/postgresql")
    assert is_socket("postgresql:///x?host=%2Frun%2Fpostgresql")
    assert not is_socket(DIRECT)
