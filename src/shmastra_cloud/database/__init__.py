"""Postgres: the pool, the migrations and the notifications.

DatabaseError
├── DatabaseAway          it cannot be reached, now
├── UnsuitableDatabase    it can never work as it is (transaction pooler, wrong master key, schema behind)
└── MigrationFailed       a migration's SQL was refused
"""

from shmastra_cloud.database.address import cleaned, shown
from shmastra_cloud.database.errors import (
    AWAY,
    TROUBLE,
    DatabaseAway,
    DatabaseError,
    MigrationFailed,
    UnsuitableDatabase,
)
from shmastra_cloud.database.master_key import bind_master_key, check_master_key, under_present_key
from shmastra_cloud.database.migrate import (
    OLDEST,
    Schema,
    check_schema,
    known_migrations,
    migrate,
    pending,
    schema,
)
from shmastra_cloud.database.notifications import Notifications
from shmastra_cloud.database.pool import Pool, Row, open_pool
from shmastra_cloud.database.transaction import transaction

__all__ = [
    "AWAY",
    "OLDEST",
    "TROUBLE",
    "DatabaseAway",
    "DatabaseError",
    "MigrationFailed",
    "Notifications",
    "Pool",
    "Row",
    "Schema",
    "UnsuitableDatabase",
    "bind_master_key",
    "check_master_key",
    "check_schema",
    "cleaned",
    "known_migrations",
    "migrate",
    "open_pool",
    "pending",
    "schema",
    "shown",
    "transaction",
    "under_present_key",
]
