import errno

import pytest
from connectrpc.code import Code

from sandboxd.envd.failures import FULL, failure, not_started


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, Code.NOT_FOUND),
        (errno.EAGAIN, Code.FAILED_PRECONDITION),
        (errno.ENOSPC, Code.RESOURCE_EXHAUSTED),
        (errno.EIO, Code.INTERNAL),
    ],
)
def test_each_failure_has_its_code(number: int, code: Code) -> None:
    assert failure({"kind": "OSError", "errno": number, "text": "x"}).code is code


@pytest.mark.parametrize("told", [None, 3, [], {}, {"errno": "x", "kind": 5, "text": {"a": 1}}])
def test_whatever_the_inside_says_is_an_error(told: object) -> None:
    assert failure(told).code is Code.INTERNAL


def test_the_limit_is_named_where_it_was_met() -> None:
    assert not_started(full=True).message == FULL
    assert not_started(full=False).code is Code.UNAVAILABLE
