"""The machine: what Python, the kernel and Debian's packages offer."""

from __future__ import annotations

import gzip
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.seccomp import PROFILE
from shmastra_cloud.doctor.check import Check, failed, ok, warning

if TYPE_CHECKING:
    from shmastra_cloud.settings import Settings

OLDEST_KERNEL = (5, 19)  # overlay file systems in user namespaces
CONTROLLERS = ("memory", "pids", "cpu")
FEW_BYTES, ENOUGH_BYTES = 1 << 30, 6 << 30
COMMAND_SECONDS = 10
RUNC_CVES = ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881")
# runc's own advisories of 2025-11-05: fixed in 1.2.8, 1.3.3 and 1.4.0-rc.3.
RUNC_FIXED: dict[tuple[int, ...], tuple[int, ...]] = {(1, 2): (1, 2, 8), (1, 3): (1, 3, 3)}
RUNC_CHANGES = Path("/usr/share/doc/runc/changelog.Debian.gz")
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
APT = "apt-get install {}"


def check_machine(settings: Settings) -> list[Check]:
    """Look at the machine; what only sandboxes need is skipped where they run elsewhere."""
    found = [python(sys.version_info[:3]), kernel(platform.release()), disk(settings.data)]
    if not settings.local_engine:
        return found
    return [*found, privileges(), namespaces(), runc(), mmdebstrap(), seccomp(), cgroups()]


def python(version: tuple[int, ...]) -> Check:
    """Look at Python's version."""
    text = ".".join(map(str, version))
    if version < (3, 11):
        return failed("python", text, "Use Python 3.11 or newer (Debian 12+, Ubuntu 24.04+).")
    return ok("python", text)


def kernel(release: str) -> Check:
    """Look at the kernel's version."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if numbers < OLDEST_KERNEL:
        return failed("kernel", f"{release} is older than 5.19", "Install a newer kernel and reboot.")
    return ok("kernel", release)


def disk(data: Path) -> Check:
    """Look at the space that is left for ``data``."""
    place = data.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / (1 << 30):.1f} GB free in {place}"
    if free < FEW_BYTES:
        return failed("disk", detail, "Free some space, or choose another --data.")
    if free < ENOUGH_BYTES:
        return warning("disk", detail, "6 GB are needed to build the template: free some space.")
    return ok("disk", detail)


def privileges() -> Check:
    """Look at whether the engine can be started as root."""
    if os.geteuid() == 0:
        return ok("privileges", "root")
    if shutil.which("sudo"):
        return ok("privileges", "sudo is there for the engine")
    text = "neither root nor sudo"
    return failed("privileges", text, "Run as root, install sudo, or set E2B_API_KEY to run sandboxes there.")


def namespaces(proc: Path = PROC) -> Check:
    """Look at whether user namespaces may be made."""
    limit = _read(proc / "sys/user/max_user_namespaces")
    if not limit.isdigit() or int(limit) == 0:
        fix = "sysctl -w user.max_user_namespaces=15000 (in a container: allow them on the host)"
        return failed("user_namespaces", "off", fix)
    return ok("user_namespaces", f"up to {limit}")


def runc(changes: Path = RUNC_CHANGES) -> Check:
    """Look at runc, and at whether it has the fixes for the container escapes of 2025."""
    if shutil.which("runc") is None:
        return failed("runc", "not installed", APT.format("runc"))
    version = _said("runc", "--version").partition("\n")[0].removeprefix("runc version ").strip()
    package = _said("dpkg-query", "-W", "-f", "${Version}", "runc").strip() or version
    missing = [cve for cve in RUNC_CVES if cve not in _changes(changes)]
    if runc_is_fixed(version) or not missing:
        return ok("runc", package)
    fix = "apt-get update && apt-get install --only-upgrade runc; "
    fix += "where that brings nothing newer, runc 1.2.8, 1.3.3 or 1.4.0 has the fixes."
    return warning("runc", f"{package} lacks the fixes for {', '.join(missing)}", fix)


def runc_is_fixed(version: str) -> bool:
    """Tell whether an upstream version of runc has all three fixes."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)(?:-rc\.?(\d+))?", version)
    if found is None:
        return False
    numbers = tuple(int(part) for part in found.groups()[:3])
    if numbers == (1, 4, 0) and found[4]:
        return int(found[4]) >= 3
    return numbers >= RUNC_FIXED.get(numbers[:2], (1, 4, 0))


def mmdebstrap() -> Check:
    """Look at what builds the base template."""
    if shutil.which("mmdebstrap") is None:
        return failed("mmdebstrap", "not installed", APT.format("mmdebstrap"))
    return ok("mmdebstrap", _said("mmdebstrap", "--version").strip())


def seccomp(profile: Path = PROFILE) -> Check:
    """Look at the profile that the sandboxes' filter is made of."""
    if not profile.is_file():
        return failed("seccomp", f"{profile} is missing", APT.format("golang-github-containers-common"))
    return ok("seccomp", str(profile))


def cgroups(root: Path = CGROUPS) -> Check:
    """Look at the controllers that limit a sandbox."""
    unified = _read(root / "cgroup.controllers").split()
    missing = [name for name in CONTROLLERS if name not in unified and not (root / name).is_dir()]
    if missing:
        fix = f"Boot without cgroup_disable=, or delegate {', '.join(missing)} to this machine."
        return failed("cgroups", f"no {', '.join(missing)} controller in {root}", fix)
    return ok("cgroups", "version 2" if unified else "version 1")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _changes(path: Path) -> str:
    try:
        with gzip.open(path, "rt", errors="replace") as file:
            return file.read(1 << 20)
    except (OSError, EOFError):
        return ""


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 -- constant words
            argv, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
