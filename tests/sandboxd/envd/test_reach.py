import base64

import pytest
from connectrpc.errors import ConnectError

from sandboxd.envd.reach import environment, home_of, user_of


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:".encode()).decode()


def test_the_user_is_read_from_the_header() -> None:
    assert user_of(None) == "user"
    assert user_of(basic("root")) == "root"
    for wrong in (basic("nobody"), basic("0"), "Basic !!!"):
        with pytest.raises(ConnectError):
            user_of(wrong)


def test_a_process_is_given_what_was_said_at_creation_and_for_itself() -> None:
    class Hands:
        @property
        def envs(self) -> dict[str, str]:
            return {"A": "1", "B": "1"}

        def command(self, argv: object, **_more: object) -> list[str]:
            raise NotImplementedError

    given = environment(Hands(), "root", {"B": "2"})
    assert (given["A"], given["B"], given["HOME"]) == ("1", "2", home_of("root"))
