import subprocess
import time

from tests.sandboxd.envd.inside.support import inside


def test_it_ends_with_its_socket_and_what_it_is_asked_wrongly_is_answered() -> None:
    with inside() as helper:
        assert helper.done("stat", path="/etc/hostname")["ok"]["kind"] == "file"
        assert helper.done("stat", path="x")["error"]["kind"] == "FileNotFoundError"
        assert helper.done("stat")["error"]["kind"] == "KeyError"
        assert helper.done("drain", program=99)["ok"] is None


def test_it_is_not_hit_by_who_ends_all_python_programs() -> None:
    with inside() as helper:
        assert helper.done("stat", path="/")["ok"]
        names = subprocess.run(["ps", "-eo", "comm"], capture_output=True, text=True).stdout.split()
        assert "envd" in names


def test_a_long_listing_comes_in_parts_and_holds_nothing_up() -> None:
    with inside() as helper:
        helper.ask("list", path="/proc", depth=2)
        helper.ask("stat", path="/")
        seen = [helper.answer()]
        while {"id": 2} not in [{"id": one["id"]} for one in seen]:
            seen.append(helper.answer())
        begun = time.monotonic()
        while "part" in seen[-1] or seen[-1]["id"] == 2:
            seen.append(helper.answer())
            assert time.monotonic() - begun < 60
