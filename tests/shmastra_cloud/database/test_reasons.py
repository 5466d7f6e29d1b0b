import asyncio
import socket
from typing import Any

import asyncpg
import pytest

from shmastra_cloud.database import DatabaseAway, DatabaseError, UnsuitableDatabase
from shmastra_cloud.database.reasons import reason

DSN = "postgresql://postgres.abc:s3cret@db.example.com:5432/postgres"


async def told(error: BaseException, dsn: str = DSN) -> DatabaseError:
    found = await reason(error, dsn)
    assert "s3cret" not in str(found)
    return found


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            asyncpg.InvalidPasswordError('password authentication failed for user "postgres"'),
            UnsuitableDatabase,
            "does not let postgres.abc in.*%3A",
        ),
        (asyncpg.InternalServerError("Tenant or user not found"), UnsuitableDatabase, "postgres.PROJECT"),
        (asyncpg.InvalidCatalogNameError('database "x" does not exist'), UnsuitableDatabase, '"x" does not'),
        (
            asyncpg.UndefinedObjectError('unrecognized configuration parameter "pool"'),
            UnsuitableDatabase,
            'parameter that the database refuses: .*"pool"',
        ),
        (asyncpg.TooManyConnectionsError("too many clients"), DatabaseAway, "no connection left"),
        (
            asyncpg.InternalServerError("MaxClientsInSessionMode: max clients reached"),
            DatabaseAway,
            "SHMASTRA_DATABASE_CONNECTIONS",
        ),
        (asyncpg.CannotConnectNowError("starting up"), DatabaseAway, "starting up"),
        (socket.gaierror(-2, "Name or service not known"), DatabaseAway, "db.example.com .* is not known"),
        (ConnectionError("PostgreSQL server rejected SSL upgrade"), UnsuitableDatabase, "speaks no TLS"),
        (
            asyncpg.ClientConfigurationError("`sslmode` parameter must be one of: x"),
            UnsuitableDatabase,
            "sslmode",
        ),
        (ValueError("invalid literal for int(): 's3cret'"), UnsuitableDatabase, "cannot be read"),
    ],
)
async def test_each_reason_says_what_to_do(error: Exception, kind: type[DatabaseError], words: str) -> None:
    found = await told(error)
    assert type(found) is kind
    with pytest.raises(kind, match=words):
        raise found


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[socket.AddressFamily, str]) -> None:
    async def getaddrinfo(*_args: object, **_options: object) -> list[Any]:
        return [(family, 1, 6, "", (address, 5432)) for family, address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_host_with_ipv6_alone_is_named_where_there_is_no_ipv6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere = (socket.AF_INET6, "100::1")  # the block that leads nowhere, RFC 6666
    monkeypatch.setattr("shmastra_cloud.database.reasons._has_route", lambda _address: False)
    resolves_to(monkeypatch, nowhere)
    found = await told(OSError(101, "Network is unreachable"))
    assert isinstance(found, UnsuitableDatabase)
    assert "db.example.com has an IPv6 address only" in str(found)
    assert "session pooler" in str(found)
    resolves_to(monkeypatch, nowhere, (socket.AF_INET, "127.0.0.1"))
    assert isinstance(await told(OSError(101, "Network is unreachable")), DatabaseAway)


async def test_whether_there_is_a_way_to_ipv6_is_asked_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, (socket.AF_INET6, "::1"))
    assert isinstance(await told(TimeoutError()), DatabaseAway)
