import signal

from sandboxd.envd.program import Program, _end, event


def test_the_end_is_told_as_go_tells_it() -> None:
    told = _end(-signal.SIGKILL)
    assert (told.exit_code, told.exited, told.status, told.error) == (
        -1,
        False,
        "signal: killed",
        "signal: killed",
    )
    told = _end(0)
    assert (told.exit_code, told.exited, told.status, told.has_field("error")) == (
        0,
        True,
        "exit status 0",
        False,
    )
    assert (_end(3).exit_code, _end(3).error) == (3, "exit status 3")
    assert _end(None).status == "lost"


async def test_what_is_said_to_nobody_is_kept_up_to_a_bound_and_one_that_left_holds_nobody_up() -> None:
    class Request:
        process, tag = None, None

    program = Program(None, None, Request(), 1)  # type: ignore[arg-type]
    for number in range(100):
        await program._emit(event("end", _end(number)))
    with program.followed() as queue:
        assert queue.qsize() == 32
        assert queue.get_nowait().event.value.exit_code == 68
    for number in range(100):
        await program._emit(event("end", _end(number)))
