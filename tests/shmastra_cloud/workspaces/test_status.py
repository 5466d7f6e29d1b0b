import itertools

import pytest

from shmastra_cloud.workspaces.errors import IllegalTransition
from shmastra_cloud.workspaces.status import (
    LEGAL,
    MAX_ATTEMPTS,
    REPORTABLE,
    after_failure,
    as_status,
    check_report,
    check_transition,
)

ALL = tuple(LEGAL)


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(ALL, ALL)))
def test_every_pair_is_either_legal_or_refused(current: str, wanted: str) -> None:
    if wanted in LEGAL[as_status(current)]:
        check_transition(as_status(current), as_status(wanted))
    else:
        with pytest.raises(IllegalTransition, match=current):
            check_transition(as_status(current), as_status(wanted))


def test_every_status_can_be_left_and_ready_is_reached_from_everywhere() -> None:
    for start in ALL:
        reached, edge = {start}, {start}
        while edge:
            edge = {after for status in edge for after in LEGAL[as_status(status)]} - reached
            reached |= edge
        assert "ready" in reached
        assert LEGAL[as_status(start)]


def test_three_failures_break_a_workspace() -> None:
    assert [after_failure(attempt) for attempt in range(1, MAX_ATTEMPTS + 1)] == [
        "provisioning",
        "provisioning",
        "broken",
    ]


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="sleeping"):
        as_status("sleeping")


def test_what_a_healer_may_report_is_legal_and_never_the_clouds_own_business() -> None:
    assert set(REPORTABLE) == set(LEGAL)
    for current, wanted in itertools.product(ALL, ALL):
        if wanted in REPORTABLE[current]:
            check_report(current, wanted)
            check_transition(current, wanted)
            assert {current, wanted} <= {"ready", "healing", "broken"}
        else:
            with pytest.raises(IllegalTransition, match=current):
                check_report(current, wanted)
