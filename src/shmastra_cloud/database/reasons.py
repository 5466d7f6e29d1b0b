"""Why a database cannot be had, in a sentence that says what to do; no sentence shows a password."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from urllib.parse import unquote, urlsplit

import asyncpg

from shmastra_cloud.database.errors import DatabaseAway, DatabaseError, UnsuitableDatabase

SECONDS = 5
ENCODE = "(In DATABASE_URL, the characters : / ? # [ ] @ % of a password are written as %3A and so on.)"
NO_IPV6 = (
    "{host} has an IPv6 address only, and this machine has no way to IPv6. Use the session pooler's string "
    "(Supabase: Connect, Session pooler; host ...pooler.supabase.com, port 5432, user postgres.PROJECT), or "
    "have the project given an IPv4 address (Supabase's IPv4 add-on)."
)
FULL = (
    "The database has no connection left for us. End what else uses it, raise its limit (Supabase: the pool "
    "size in Project Settings, Database), or lower SHMASTRA_DATABASE_CONNECTIONS."
)
RefusedParameter = (asyncpg.UndefinedObjectError, asyncpg.CantChangeRuntimeParamError)


async def reason(error: BaseException, dsn: str) -> DatabaseError:
    """Return what became of an attempt to connect: away, for now, or unsuitable, for ever."""
    if isinstance(error, asyncpg.PostgresError):
        return _refused(error, dsn)
    if isinstance(error, ssl.SSLError) or (isinstance(error, ConnectionError) and "SSL" in str(error)):
        return _insecure(error, dsn)  # before ValueError, which one of these is too
    if isinstance(error, (asyncpg.ClientConfigurationError, ValueError)):
        return UnsuitableDatabase(f"DATABASE_URL cannot be used: {_harmless(error)}")
    if isinstance(error, socket.gaierror):
        return DatabaseAway(
            f"The host {_host(dsn)} of DATABASE_URL is not known ({error.strerror}). Is it written right? A "
            "Supabase project that is paused has no address: restore it."
        )
    if await _lacks_ipv6(dsn):
        return UnsuitableDatabase(NO_IPV6.format(host=_host(dsn)))
    return DatabaseAway(f"The database does not answer ({type(error).__name__}). Is DATABASE_URL right?")


def is_full(error: BaseException) -> bool:
    """Tell whether there was no room for a further connection."""
    text = str(error).lower()
    return isinstance(error, asyncpg.TooManyConnectionsError) or (
        isinstance(error, asyncpg.PostgresError) and ("max client" in text or "maxclients" in text)
    )


def _refused(error: asyncpg.PostgresError, dsn: str) -> DatabaseError:
    user = unquote(urlsplit(dsn).username or "") or "the user of this account"
    if is_full(error):
        return DatabaseAway(FULL)
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):  # a wrong password is one of these
        return UnsuitableDatabase(f"The database does not let {user} in: {error}. {ENCODE}")
    if "tenant or user not found" in str(error).lower():
        return UnsuitableDatabase(
            f"The pooler does not know {user}. With Supabase's pooler the user is postgres.PROJECT, and the "
            "host that of the project's region: copy both from Connect, Session pooler."
        )
    if isinstance(error, (asyncpg.InvalidCatalogNameError, asyncpg.InsufficientPrivilegeError)):
        return UnsuitableDatabase(f"The database cannot be opened: {error}. Is DATABASE_URL right?")
    if isinstance(error, RefusedParameter) or "unsupported startup parameter" in str(error):
        return UnsuitableDatabase(
            f"DATABASE_URL has a parameter that the database refuses: {error}. Leave it out."
        )
    return DatabaseAway(f"The database does not answer ({type(error).__name__}: {error}).")


def _insecure(error: OSError, dsn: str) -> DatabaseError:
    if not isinstance(error, ssl.SSLError):
        return UnsuitableDatabase(
            f"{_host(dsn)} speaks no TLS, which sslmode in DATABASE_URL asks for. Take sslmode out only "
            "where the network between is yours."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnsuitableDatabase(
            f"The certificate of {_host(dsn)} does not hold: {error.verify_message}. Name the right "
            "authority's file with sslrootcert in DATABASE_URL (Supabase: Project Settings, Database, SSL "
            "certificate)."
        )
    return DatabaseAway(f"TLS with {_host(dsn)} failed ({error.reason or type(error).__name__}).")


def _harmless(error: BaseException) -> str:
    return str(error) if isinstance(error, asyncpg.ClientConfigurationError) else "it cannot be read."


def _host(dsn: str) -> str:
    return urlsplit(dsn).hostname or "the database"


async def _lacks_ipv6(dsn: str) -> bool:
    """Tell whether the host has IPv6 addresses only, none of which there is a route to."""
    parts = urlsplit(dsn)
    if not parts.hostname:
        return False
    try:
        async with asyncio.timeout(SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, parts.port or 5432, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError):
        return False
    return bool(found) and all(one[0] == socket.AF_INET6 and not _has_route(one[4]) for one in found)


def _has_route(address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> bool:
    """Ask the kernel for the way to an address; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
    except OSError as error:
        return error.errno not in (
            errno.ENETUNREACH,
            errno.EAFNOSUPPORT,
            errno.EADDRNOTAVAIL,
            errno.EHOSTUNREACH,
        )
    return True
