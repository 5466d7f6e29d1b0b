"""The database's error tree; drawn in the package's docstring."""

import asyncpg

# What a query raises when the database, or the way to it, fails: worth another try later.
TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

# What of it says that there was no answer, or no place for a session; the rest are mistakes in a query.
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalServerError,  # how Supabase's pooler says that all of its places are taken
    asyncpg.UnknownPostgresError,  # ours, SHK01: the master key was replaced in this very moment
    asyncpg.InterfaceError,
)


class DatabaseError(Exception):
    """Anything that goes wrong between the cloud and its database."""


class DatabaseAway(DatabaseError):
    """The database cannot be reached at the moment."""


class UnsuitableDatabase(DatabaseError):
    """The database, as configured, can never serve; the message names the fix."""


class MigrationFailed(DatabaseError):
    """A migration was refused by the database and left nothing behind."""
