"""The seccomp filter: the container engines' profile without what a process with no capability never needs.

The profile is Debian's ``golang-github-containers-common``; the network namespace does not cover AF_VSOCK, so
socket families are listed here.
"""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import Any

PROFILE = Path("/usr/share/containers/seccomp.json")
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

_CONDITIONAL = frozenset({"clone", "clone3", "socket", "personality"})
_FORBIDDEN = frozenset(
    [
        "acct",
        "add_key",
        "bpf",
        "chroot",
        "clock_settime",
        "clock_settime64",
        "delete_module",
        "fanotify_init",
        "finit_module",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "init_module",
        "io_uring_enter",
        "io_uring_register",
        "io_uring_setup",
        "ioperm",
        "iopl",
        "kcmp",
        "kexec_file_load",
        "kexec_load",
        "keyctl",
        "memfd_secret",
        "modify_ldt",
        "mount",
        "mount_setattr",
        "move_mount",
        "name_to_handle_at",
        "open_by_handle_at",
        "open_tree",
        "perf_event_open",
        "pidfd_getfd",
        "pivot_root",
        "process_madvise",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
        "quotactl",
        "quotactl_fd",
        "reboot",
        "request_key",
        "setns",
        "settimeofday",
        "socketcall",
        "swapoff",
        "swapon",
        "syslog",
        "umount",
        "umount2",
        "unshare",
        "userfaultfd",
        "vhangup",
    ]
)


def profile(path: Path = PROFILE) -> dict[str, Any]:
    """Return the ``linux.seccomp`` part of an OCI configuration.

    Raises:
        OSError: the base profile is not installed.
    """
    base = json.loads(path.read_text())
    names = {name for rule in base["syscalls"] if _plain(rule) for name in rule["names"]}
    rules: list[dict[str, Any]] = [
        {"names": sorted(names - _FORBIDDEN - _CONDITIONAL), "action": "SCMP_ACT_ALLOW"},
        _when("clone", 0, NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ", valueTwo=0),
        # glibc and libuv fall back to clone, whose flags can be looked at
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        *(_when("socket", 0, int(family), "SCMP_CMP_EQ") for family in FAMILIES),
        *(_when("personality", 0, persona, "SCMP_CMP_EQ") for persona in PERSONALITIES),
    ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    }


def _plain(rule: dict[str, Any]) -> bool:
    """Tell whether a rule allows something to everybody on this architecture."""
    needs = rule.get("includes", {})
    return (
        rule["action"] == "SCMP_ACT_ALLOW"
        and not rule.get("args")
        and not needs.get("caps")
        and ("arches" not in needs or "amd64" in needs["arches"])
    )


def _when(name: str, index: int, value: int, operation: str, **more: int) -> dict[str, Any]:
    argument = {"index": index, "value": value, "op": operation, **more}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}
