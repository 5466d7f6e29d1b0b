"""What a machine needs to run sandboxes, looked at one by one."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandboxd import address, cgroups
from sandboxd.sandbox import RUNC
from sandboxd.seccomp import PROFILE

KERNEL = (5, 19)
FREE_BYTES = 4 << 30
SECONDS = 10
PROGRAMS = {
    "mount": "mount",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
    "mmdebstrap": "mmdebstrap",
}
# the first versions of each series with the fixes (opencontainers/runc, security advisories of 2025-11-05)
FIXED_CVES = ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881")
FIXED_IN = ((1, 2, 8), (1, 3, 3))
FIXED_FROM = (1, 4, 0)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: ``status`` is ``ok``, ``warning`` or ``failed``; ``fix`` what to do."""

    name: str
    status: str
    detail: str
    fix: str = ""


def examine(data: Path) -> list[Check]:
    """Look at everything; nothing is changed."""
    return [
        _root(),
        _kernel(platform.release()),
        _runc(),
        _programs(),
        _seccomp(),
        _cgroup(),
        _namespaces(),
        _space(data),
        _template(data),
        _daemon(data),
    ]


def missing_fixes(version: str) -> tuple[str, ...]:
    """Return the vulnerabilities whose fix a version of runc lacks, as far as its number tells."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return FIXED_CVES
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    fixed = numbers >= FIXED_FROM or any(
        numbers[:2] == series[:2] and numbers >= series for series in FIXED_IN
    )
    return () if fixed else FIXED_CVES


def _root() -> Check:
    if os.geteuid() == 0:
        return Check("root", "ok", "sandboxd may mount and start containers")
    return Check("root", "failed", f"this is uid {os.geteuid()}", "run sandboxd as root")


def _kernel(release: str) -> Check:
    found = re.match(r"(\d+)\.(\d+)", release)
    if found and (int(found[1]), int(found[2])) >= KERNEL:
        return Check("kernel", "ok", release)
    return Check(
        "kernel", "failed", release, "Linux 5.19 or later is needed (idmapped mounts under an overlay)"
    )


def _runc() -> Check:
    try:
        told = subprocess.run(  # noqa: S603 -- our own words
            [RUNC, "--version"], capture_output=True, text=True, check=True, timeout=SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("runc", "failed", f"{RUNC} does not run: {error}", "apt-get install runc")
    version = told.stdout.split()[2] if len(told.stdout.split()) > 2 else "?"
    missing = missing_fixes(version)
    if not missing:
        return Check("runc", "ok", version)
    return Check(
        "runc",
        "warning",
        f"{version} lacks, by its number, the fixes of {', '.join(missing)}",
        "install runc 1.2.8, 1.3.3 or later, unless your distribution's notes say that it has them",
    )


def _programs() -> Check:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not missing:
        return Check("programs", "ok", ", ".join(PROGRAMS))
    packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
    return Check("programs", "failed", f"missing: {', '.join(missing)}", f"apt-get install {packages}")


def _seccomp() -> Check:
    if PROFILE.is_file():
        return Check("seccomp", "ok", str(PROFILE))
    return Check(
        "seccomp", "failed", f"{PROFILE} is missing", "apt-get install golang-github-containers-common"
    )


def _cgroup() -> Check:
    if (cgroups.ROOT / "cgroup.controllers").exists():
        controllers = set((cgroups.ROOT / "cgroup.controllers").read_text().split())
        missing = {"memory", "pids", "cpu"} - controllers
        kind = "version 2"
    else:
        missing = {
            name for name in ("memory", "pids", "cpu", "freezer") if not (cgroups.ROOT / name).is_dir()
        }
        kind = "version 1"
    if missing:
        return Check(
            "cgroups",
            "failed",
            f"{kind} without {', '.join(sorted(missing))}",
            "enable them for this machine",
        )
    return Check("cgroups", "ok", kind)


def _namespaces() -> Check:
    told = Path("/proc/sys/user/max_user_namespaces")
    if told.exists() and int(told.read_text()) > 0:
        return Check("namespaces", "ok", "user namespaces are allowed")
    return Check("namespaces", "failed", "no user namespaces", "sysctl -w user.max_user_namespaces=15000")


def _space(data: Path) -> Check:
    there = next(folder for folder in (data, *data.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    detail = f"{free >> 30} GiB free in {there}"
    if free >= FREE_BYTES:
        return Check("space", "ok", detail)
    return Check(
        "space", "warning", detail, "free some: a base template takes 1 GiB, sandboxes what they write"
    )


def _template(data: Path) -> Check:
    if (data / "templates" / "base" / "template.json").is_file():
        return Check("template", "ok", "base")
    return Check("template", "warning", "base is not built", "`sandboxd serve` builds it when it starts")


def _daemon(data: Path) -> Check:
    url = address.read(data)
    if url is None:
        return Check("daemon", "warning", f"none has served {data}", "sandboxd serve")
    return Check("daemon", "ok", url)
