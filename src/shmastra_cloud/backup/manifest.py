"""What a backup says of itself: its last member, so that a backup that has it was written to its end."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 -- pydantic reads it
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shmastra_cloud.backup.archive import Member
from shmastra_cloud.backup.errors import BadBackup, TooNew

FORMAT = 1
FIRST, LAST = "format", "manifest.json"
SAYS = "shmastra backup "
MAX_BYTES = 32 << 20
MIB = 1 << 20
Hex: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count: TypeAlias = Annotated[int, Field(ge=0)]
SandboxId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^i[0-9a-f]{18}$")]
TemplateName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MemberSum(_Part):
    """A member's name, its bytes, and their SHA-256."""

    name: str
    size: Count
    sha256: Hex


class Table(_Part):
    """A table's columns in the order in which its rows hold them, and how many rows there are."""

    name: str
    columns: list[str]
    rows: Count


class SavedSandbox(_Part):
    """A sandbox whose files are in the backup; ``disk_mb`` is how large its disk is, in MiB."""

    id: SandboxId
    email: str | None
    template: TemplateName
    disk_mb: Annotated[int, Field(ge=16, le=1 << 20)]


class SavedTemplate(_Part):
    """A template that sandboxes of the backup start from."""

    name: TemplateName


class Manifest(_Part):
    """What is in a backup.

    ``migrations`` are those that its database had, in order; ``master_key`` is the fingerprint of the key
    that seals secrets in it; ``lost`` are sandboxes that the database names and the engine does not have.
    """

    created_at: Annotated[dt.datetime, Field(strict=False)]
    program: str
    migrations: list[str]
    master_key: Hex | None
    sandboxes_at: Literal["here", "elsewhere"]
    tables: list[Table]
    sandboxes: list[SavedSandbox]
    templates: list[SavedTemplate]
    lost: list[str]
    members: list[MemberSum]

    @property
    def has_database(self) -> bool:
        """Whether the database is in it."""
        return bool(self.tables)

    @property
    def files_bytes(self) -> int:
        """How many bytes all members have, before anything is made of them."""
        return sum(member.size for member in self.members)

    def sums(self) -> list[Member]:
        """Return what each member must come to, in order."""
        return [Member(one.name, one.size, one.sha256) for one in self.members]


def opening() -> bytes:
    """Return what the first member says."""
    return f"{SAYS}{FORMAT}\n".encode()


def check_opening(data: bytes) -> None:
    """Make sure that this program can read the backup.

    Raises:
        BadBackup: it is none.
        TooNew: a newer program made it.
    """
    number = data.decode(errors="replace").removeprefix(SAYS).strip()
    if not data.startswith(SAYS.encode()) or not number.isdecimal():
        raise BadBackup("This is not a backup of Shmastra Cloud.")
    if int(number) != FORMAT:
        raise TooNew(
            f"This backup has format {number}, which a newer Shmastra Cloud made. Update this one first."
        )


def read_manifest(data: bytes) -> Manifest:
    """Return what a backup says of itself.

    Raises:
        BadBackup: it says what no backup does.
    """
    try:
        found = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BadBackup(f"The backup's manifest cannot be read ({error.error_count()} mistakes).") from error
    for names in (
        [one.id for one in found.sandboxes],
        [one.name for one in found.templates],
        [one.name for one in found.tables],
        [one.name for one in found.members],
    ):
        if len(names) != len(set(names)):
            raise BadBackup("The backup's manifest names one thing twice.")
    return found
