"""The root of the command line: all groups, and what becomes of an error."""

from __future__ import annotations

import logging
import sys

from httprelay.plain_logs import configure
from shmastra_cloud.cli import audit, backups, copying, doctor, inside, login, processes, users
from shmastra_cloud.cli.common import HELP, Commands, Data, Profile, Url, choose
from shmastra_cloud.cli.sandboxes import sandbox
from shmastra_cloud.cli.templates import template

app = Commands(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
    help="A team's own cloud of AI agents. `shmastra up` starts it; `shmastra doctor` says what it lacks.",
)
for part in (processes, doctor, users, audit, login, backups):
    part.add_to(app)
app.add_typer(sandbox, name="sandbox")
app.add_typer(template, name="template")
COMMANDS = (inside, copying)  # their commands belong to the group of sandboxes


@app.callback()
def choose_installation(data: Data = None, profile: Profile = None, url: Url = None) -> None:
    """Set which installation the commands speak to."""
    choose(data, profile, url)


def main() -> None:
    """Run the command line."""
    configure()
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        app()
    except expected() as error:  # asked for only once something was raised
        told = str(error) or f"Something did not answer in time ({type(error).__name__}). Try again."
        sys.stderr.write(f"shmastra: {told}\n")
        sys.exit(1)


def expected() -> tuple[type[Exception], ...]:
    """Return what is told in one sentence; naming these loads more than a command that succeeds needs."""
    from shmastra_cloud.backup import BackupError
    from shmastra_cloud.certificates import CertificateError
    from shmastra_cloud.cli.common import Failed
    from shmastra_cloud.database import TROUBLE, DatabaseError
    from shmastra_cloud.gateway import BadConfiguration
    from shmastra_cloud.secrets_at_rest import MasterKeyError
    from shmastra_cloud.studio import StudioError
    from shmastra_cloud.supervisor import SupervisorError
    from shmastra_cloud.templates import TemplateError

    return (
        Failed,
        BackupError,
        CertificateError,
        BadConfiguration,
        DatabaseError,
        MasterKeyError,
        StudioError,
        SupervisorError,
        TemplateError,
        *TROUBLE,
    )
