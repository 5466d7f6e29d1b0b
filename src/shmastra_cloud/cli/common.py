"""What all commands share: which installation is meant, its settings, and how a command fails."""

from __future__ import annotations

import functools
import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from dotenv import dotenv_values
from pydantic import ValidationError

from shmastra_cloud.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's email.")]
Sandbox = Annotated[str, typer.Argument(metavar="ID", help="The sandbox's id, or its user's email.")]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Which installation is meant (SHMASTRA_DATA).")
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="NAME", help="Read .env.NAME.local and .env.NAME before .env.local and .env."
    ),
]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="A cloud elsewhere, after `shmastra login URL`."),
]
HELP = {"help_option_names": ["-h", "--help"]}
VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{2,99}")
CREDENTIAL = re.compile(r"^shmastra(-web)?_")
SECRET_CHARACTERS = 64 * 1024
PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

F = TypeVar("F", bound="Callable[..., Any]")

_chosen: dict[str, str] = {}


class Failed(Exception):  # the reason is the message
    """A command that did not do what it was asked; ``code`` is the cloud's, where it has refused."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class Commands(typer.Typer):
    """A group of commands, each of which takes ``--data``, ``--profile`` and ``--url``."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Add a command."""
        add = super().command(name, **options)
        return lambda function: add(_with_installation(function))


def group(about: str) -> Commands:
    """Return a group of commands that shows its help when none is named."""
    return Commands(no_args_is_help=True, help=about, context_settings=HELP)


def here_only(function: F) -> F:
    """Mark a command that works on this machine, so that ``--url`` makes no sense for it."""
    function.__dict__["here_only"] = True
    return function


def elsewhere() -> str | None:
    """Return the cloud elsewhere that is meant, as it was given; None for the one on this machine."""
    return _chosen.get("url")


def choose(data: Path | None, profile: str | None, url: str | None = None) -> None:
    """Set which installation is meant, before any setting is read.

    Raises:
        typer.BadParameter: a profile's name is not a word.
    """
    if url is not None:
        _chosen["url"] = url
    if data is not None:
        os.environ["SHMASTRA_DATA"] = str(data)
    if profile is not None:
        if not PROFILE_NAME.fullmatch(profile):
            raise typer.BadParameter("--profile takes a word, such as staging.")
        _chosen["profile"] = profile


def _with_installation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the three options, wherever they stand on its line."""
    known = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def run(
        *args: Any,
        data: Path | None = None,
        profile: str | None = None,
        url: str | None = None,
        **kwargs: Any,
    ) -> Any:
        choose(data, profile, url)
        if elsewhere() is not None and getattr(function, "here_only", False):
            raise typer.BadParameter("This command works on this machine; leave --url out.")
        return function(*args, **kwargs)

    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (("data", Data), ("profile", Profile), ("url", Url))
    ]
    run.__signature__ = known.replace(parameters=[*known.parameters.values(), *more])  # type: ignore[attr-defined]
    return run


def settings() -> Settings:
    """Read the files of variables and the environment.

    Raises:
        Failed: a variable has a value that cannot be used, or a profile has no file.
    """
    for variable in ("SHMASTRA_SECRETS", "CREDENTIALS_DIRECTORY"):
        if os.environ.get(variable):
            read_secrets(Path(os.environ[variable]))
    read_files(Path.cwd(), _chosen.get("profile"))
    try:
        return load_settings()
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{name}: " for name in first["loc"])
        raise Failed(f"{where}{first['msg'].removeprefix('Value error, ')}.") from error


def read_secrets(folder: Path) -> None:
    """Put into the environment what a folder of secrets says and it does not, a file for each variable.

    The secrets of compose and Kubernetes are such folders, and systemd's credentials: by
    ``LoadCredential=shmastra:FOLDER`` or ``shmastra-web:FOLDER`` each has the name before its own. Files with
    other names are left alone.

    Raises:
        Failed: the folder, or a file in it, cannot be read.
    """
    try:
        for path in folder.iterdir():
            name = CREDENTIAL.sub("", path.name, count=1)
            if VARIABLE_NAME.fullmatch(name) and path.is_file():
                with path.open() as file:
                    os.environ.setdefault(name, file.read(SECRET_CHARACTERS).rstrip("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(
            f"The secrets in {folder} cannot be read ({error}); SHMASTRA_SECRETS names it."
        ) from error


def read_files(folder: Path, profile: str | None) -> None:
    """Put into the environment what ``.env`` files say and it does not; the more special file wins.

    Raises:
        Failed: there is no file of that profile.
    """
    special = [f".env.{profile}.local", f".env.{profile}"] if profile else []
    if special and not any((folder / name).is_file() for name in special):
        raise Failed(f"There is neither {special[0]} nor {special[1]} in {folder}, so no profile {profile}.")
    for name in [*special, ".env.local", ".env"]:
        if (folder / name).is_file():
            for variable, value in dotenv_values(folder / name, interpolate=False).items():
                if value is not None:
                    os.environ.setdefault(variable, value)


def dsn(found: Settings) -> str:
    """Return the database's address.

    Raises:
        Failed: it is not set.
    """
    if found.database_url is None:
        raise Failed("DATABASE_URL is not set. `shmastra up` starts a database of its own.")
    return found.database_url.get_secret_value()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed.

    Raises:
        Failed: nobody can be asked, and ``--yes`` was not given.
    """
    if yes:
        return
    if not os.isatty(0):
        raise Failed("This destroys something and nobody can be asked. Add --yes to do it.")
    if not typer.confirm(question):
        raise Failed("Nothing was done.")
