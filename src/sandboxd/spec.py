"""The OCI configuration of a sandbox. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CGROUPS = "/shmastra"
HOME = "/home/user"
USER_UID = 1000
# bash, as process 1, reaps whatever is left to it; it ends on SIGTERM
INIT = ["/bin/bash", "-c", "trap 'exit 0' TERM; while :; do sleep infinity & wait $!; done"]
PATH = "/usr/local/bin:/usr/bin:/bin"
MOUNT_TARGETS = ("dev", "proc", "sys", "tmp", "run")


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use: MiB of memory, CPUs, MiB of disk, processes."""

    memory_mb: int = 2048
    cpus: float = 2
    disk_mb: int = 4096
    pids: int = 512


def environment(limits: Limits) -> dict[str, str]:
    """Return what every process in a sandbox is given."""
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        # Node does not see the cgroup's limit
        "NODE_OPTIONS": f"--max-old-space-size={limits.memory_mb * 3 // 4}",
        "NODE_USE_ENV_PROXY": "1",
        "HTTPS_PROXY": "http://127.0.0.1:3128",
        "https_proxy": "http://127.0.0.1:3128",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def oci_config(
    sandbox_id: str, root: str, first_uid: int, limits: Limits, seccomp: dict[str, Any]
) -> dict[str, Any]:
    """Return the configuration that ``runc`` runs: no capability, no network device, its own uids."""
    ids = [{"containerID": 0, "hostID": first_uid, "size": 65536}]
    namespaces = ("pid", "ipc", "uts", "mount", "network", "user")
    return {
        "ociVersion": "1.0.2",
        "hostname": sandbox_id[:32],
        "root": {"path": root},
        "process": {
            "args": INIT,
            "cwd": "/",
            "user": {"uid": USER_UID, "gid": USER_UID},
            "noNewPrivileges": True,
            "capabilities": {},
            "env": [f"{name}={value}" for name, value in environment(limits).items()],
        },
        "mounts": _mounts(),
        "linux": {
            "namespaces": [{"type": name} for name in namespaces],
            "uidMappings": ids,
            "gidMappings": ids,
            "cgroupsPath": f"{CGROUPS}/{sandbox_id}",
            "seccomp": seccomp,
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"limit": limits.memory_mb << 20, "swap": -1},
                "cpu": {"quota": int(limits.cpus * 100_000), "period": 100_000},
                "pids": {"limit": limits.pids},
            },
            "maskedPaths": [
                "/proc/acpi",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/sched_debug",
                "/proc/scsi",
                "/proc/interrupts",
            ],
            "readonlyPaths": [
                "/proc/asound",
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ],
        },
    }


def _mounts() -> list[dict[str, Any]]:
    return [
        _mount("/proc", "proc", "noexec"),
        _mount("/dev", "tmpfs", "strictatime", "mode=755", "size=64k", device=True),
        _mount("/dev/pts", "devpts", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", device=True),
        _mount("/dev/shm", "tmpfs", "size=64m", "mode=1777"),  # noqa: S108 -- inside the sandbox
        _mount("/tmp", "tmpfs", "size=512m", "mode=1777"),  # noqa: S108 -- inside the sandbox
        _mount("/run", "tmpfs", "size=8m", "mode=755"),
    ]


def _mount(target: str, kind: str, *options: str, device: bool = False) -> dict[str, Any]:
    safe = ["nosuid"] if device else ["nosuid", "nodev"]
    return {"destination": target, "type": kind, "source": kind, "options": [*safe, *options]}
