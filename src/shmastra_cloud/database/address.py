"""A database's address as people copy it: what other drivers want in it is left out, what is wrong is named.

No sentence here shows a password, or what may be a part of one.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from shmastra_cloud.database.errors import UnsuitableDatabase

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# What libpq, Prisma and others take on the client's side; the server, which asyncpg passes them to, refuses.
CLIENT_ONLY = {
    *("channel_binding", "connect_timeout", "gssencmode", "load_balance_hosts", "require_auth"),
    *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "tcp_user_timeout"),
    *("connection_limit", "pgbouncer", "pool_timeout", "schema", "socket_timeout", "statement_cache_size"),
    *("supa", "uselibpqcompat"),
}
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
PLACEHOLDER = re.compile(r"\[YOUR-PASSWORD\]|\[PASSWORD\]|<PASSWORD>", re.IGNORECASE)
TRANSACTION_POOLER = (
    "DATABASE_URL leads through a pooler in transaction mode, where LISTEN hears nothing and locks do not "
    "last. Use the direct or the session-mode string (with Supabase: port 5432; with pgbouncer: "
    "pool_mode = session)."
)
SPECIAL = (
    "DATABASE_URL cannot be read. If the password has one of the characters : / ? # [ ] @ % in it, write "
    "that as %3A %2F %3F %23 %5B %5D %40 %25; otherwise it looks like "
    "postgresql://USER:PASSWORD@HOST:5432/postgres."
)


def cleaned(dsn: str) -> str:
    """Return the address for the driver; files that it names become absolute paths.

    Raises:
        UnsuitableDatabase: it can never be used; the message says what to write instead.
    """
    dsn = dsn.strip()
    parts = _split(dsn)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if ("pgbouncer", "true") in query or _is_supabases_transaction_pooler(parts):
        raise UnsuitableDatabase(TRANSACTION_POOLER)
    kept = [(name, _file(name, value)) for name, value in query if name not in CLIENT_ONLY]
    if kept == query:
        return dsn
    return parts._replace(query=urlencode(kept, safe="/,:")).geturl()


def shown(dsn: str) -> str:
    """Return the address without its password."""
    try:
        parts = urlsplit(dsn)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    who = f"{parts.username}@" if parts.username else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    folder = "".join(f"?host={host}" for host in parse_qs(parts.query).get("host", []))
    return f"{parts.scheme}://{who}{host}{port}{parts.path}{folder}"


def is_socket(dsn: str) -> bool:
    """Tell whether an address is a unix socket's."""
    return any(host.startswith("/") for host in parse_qs(urlsplit(dsn).query).get("host", []))


def _split(dsn: str) -> SplitResult:
    scheme = dsn.partition("://")[0]
    if scheme not in ("postgresql", "postgres"):
        raise UnsuitableDatabase(
            "DATABASE_URL must begin with postgresql://. With Supabase it is the string that the button "
            "Connect shows under Direct connection or Session pooler, not the project's https:// address."
        )
    if PLACEHOLDER.search(dsn):
        raise UnsuitableDatabase(
            "DATABASE_URL still has the place for the password in it. Put the database's password there "
            "(Supabase: Project Settings, Database, can set a new one)."
        )
    try:
        parts = urlsplit(dsn)
        _ = parts.port
    except ValueError as error:
        raise UnsuitableDatabase(SPECIAL) from error
    misread = parts.fragment or "@" in parts.path or parts.netloc.count("@") > 1
    cut_short = "@" not in parts.netloc and "@" in parts.query and "user=" not in parts.query
    if misread or cut_short or re.search(r"%(?![0-9A-Fa-f]{2})", parts.password or ""):
        raise UnsuitableDatabase(SPECIAL)
    return parts


def _is_supabases_transaction_pooler(parts: SplitResult) -> bool:
    return parts.port == 6543 and (parts.hostname or "").endswith((".supabase.com", ".supabase.co"))


def _file(name: str, value: str) -> str:
    if name not in FILES:
        return value
    if value == "system":
        value = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    if not os.access(value, os.R_OK):
        raise UnsuitableDatabase(f"DATABASE_URL names the file {value} ({name}), which cannot be read.")
    return str(Path(value).absolute())
