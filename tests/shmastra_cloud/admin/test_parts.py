import pytest
from fastapi import HTTPException

from shmastra_cloud.admin.parts import answered
from shmastra_cloud.identity import UnknownUser
from shmastra_cloud.workspaces import EngineAway, IllegalTransition, LeaseLost, UnknownWorkspace


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownUser, 404),
        (UnknownWorkspace, 404),
        (IllegalTransition, 409),
        (LeaseLost, 409),
        (EngineAway, 503),
    ],
)
def test_each_error_has_its_status_and_keeps_its_words(error: type[Exception], status: int) -> None:
    with pytest.raises(HTTPException) as caught, answered():
        raise error("what happened")
    assert caught.value.status_code == status
    assert caught.value.detail["error"] == "what happened"  # type: ignore[index]
