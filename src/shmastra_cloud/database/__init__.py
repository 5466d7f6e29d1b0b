"""Postgres: the pool, the migrations and the notifications.

DatabaseError
├── DatabaseAway          it cannot be reached, now
├── UnsuitableDatabase    it can never work as configured (transaction pooler, wrong master key)
└── MigrationFailed       a migration's SQL was refused
"""

from shmastra_cloud.database.errors import (
    TROUBLE,
    DatabaseAway,
    DatabaseError,
    MigrationFailed,
    UnsuitableDatabase,
)
from shmastra_cloud.database.migrate import check_schema, known_migrations, migrate, pending
from shmastra_cloud.database.notifications import Notifications
from shmastra_cloud.database.pool import Pool, Row, bind_master_key, check_master_key, open_pool
from shmastra_cloud.database.transaction import transaction

__all__ = [
    "TROUBLE",
    "DatabaseAway",
    "DatabaseError",
    "MigrationFailed",
    "Notifications",
    "Pool",
    "Row",
    "UnsuitableDatabase",
    "bind_master_key",
    "check_master_key",
    "check_schema",
    "known_migrations",
    "migrate",
    "open_pool",
    "pending",
    "transaction",
]
