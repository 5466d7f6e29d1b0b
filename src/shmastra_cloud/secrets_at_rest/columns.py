"""Every column that holds ciphertexts. What is not named here is not sealed: a rotation forgets none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SealedColumn:
    """A ``bytea`` column of a table, with the column that is its primary key.

    Its migration gives the table a trigger that calls ``check_sealed`` with the column's name.
    """

    table: str
    column: str
    key: str = "id"

    @property
    def purpose(self) -> str:
        """What its ciphertexts are bound to."""
        return f"{self.table}.{self.column}"


SEALED = (
    SealedColumn("users", "virtual_key"),
    SealedColumn("sandboxes", "mastra_token"),
    SealedColumn("sandboxes", "traffic_token"),
    SealedColumn("sessions", "provider_secret", key="token_hash"),
)
PASSING = ("reach", "oidc_attempt")  # what is opened again within minutes and stored nowhere
PURPOSES = frozenset({*(column.purpose for column in SEALED), *PASSING})
