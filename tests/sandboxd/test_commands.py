import pytest

from sandboxd.commands import run
from sandboxd.errors import CommandFailed


async def test_a_failure_ends_with_what_was_said() -> None:
    assert await run("/bin/echo", "hello") == "hello\n"
    with pytest.raises(CommandFailed, match="No such file"):
        await run("/bin/ls", "/nowhere")
    assert await run("/bin/false", check=False) == ""
    with pytest.raises(CommandFailed, match="did not end"):
        await run("/bin/sleep", "60", seconds=0.05)
