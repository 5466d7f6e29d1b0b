"""What went wrong inside, as envd's clients are told."""

from __future__ import annotations

import errno
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError

FULL = (
    "the sandbox is at its limit of processes, so nothing more starts in it: end some of them "
    "(commands.list, commands.kill), or raise SHMASTRA_SANDBOX_PIDS"
)
NO_SPACE = "the sandbox's disk is full: delete something in it, or raise SHMASTRA_SANDBOX_DISK_MB"
CODES = {
    errno.ENOENT: Code.NOT_FOUND,
    errno.EACCES: Code.PERMISSION_DENIED,
    errno.EPERM: Code.PERMISSION_DENIED,
    errno.EROFS: Code.PERMISSION_DENIED,
    errno.EEXIST: Code.ALREADY_EXISTS,
    errno.ENOTDIR: Code.INVALID_ARGUMENT,
    errno.EISDIR: Code.INVALID_ARGUMENT,
    errno.ENAMETOOLONG: Code.INVALID_ARGUMENT,
    errno.ELOOP: Code.INVALID_ARGUMENT,
    errno.ENOTEMPTY: Code.FAILED_PRECONDITION,
    errno.ENXIO: Code.INVALID_ARGUMENT,
    errno.E2BIG: Code.INVALID_ARGUMENT,
    errno.ENOEXEC: Code.INVALID_ARGUMENT,
    errno.EOPNOTSUPP: Code.INVALID_ARGUMENT,
}
TEXT = 2000


def failure(told: Any) -> ConnectError:
    """Return the error that an answer from inside tells of; whatever it holds."""
    if not isinstance(told, dict):
        return ConnectError(Code.INTERNAL, "the sandbox gave no answer that can be read")
    number, kind = told.get("errno"), told.get("kind")
    if number == errno.EAGAIN:
        return ConnectError(Code.FAILED_PRECONDITION, FULL)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return ConnectError(Code.RESOURCE_EXHAUSTED, NO_SPACE)
    code = CODES.get(number) if isinstance(number, int) else None
    if code is None:
        wrong = kind in ("ValueError", "UnicodeEncodeError", "OverflowError")
        code = Code.INVALID_ARGUMENT if wrong else Code.INTERNAL
    return ConnectError(code, str(told.get("text"))[:TEXT])


def gone() -> ConnectError:
    """Return what is said when the helper inside has ended: by its user's hand, or with the sandbox."""
    return ConnectError(Code.UNAVAILABLE, "the sandbox's helper has ended; try again")


def late() -> ConnectError:
    """Return what is said when the time that a call was given is up; the words are envd's."""
    return ConnectError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")


def too_long() -> ConnectError:
    """Return what is said of a command or an environment that no program could be given."""
    return ConnectError(Code.INVALID_ARGUMENT, "the command with its environment is too long")


def not_started(*, full: bool) -> ConnectError:
    """Return why nothing was started: the limit of processes, where it was met meanwhile, else unknown."""
    if full:
        return ConnectError(Code.FAILED_PRECONDITION, FULL)
    return ConnectError(Code.UNAVAILABLE, "the sandbox did not start the program")
