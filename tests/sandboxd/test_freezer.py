import pytest

from sandboxd.errors import WrongState
from sandboxd.freezer import freeze, thaw


async def test_what_does_not_run_cannot_be_frozen() -> None:
    for act in (freeze, thaw):
        with pytest.raises(WrongState, match="does not run"):
            await act("i-none")
