import json

from e2b import Sandbox
from tests.sandboxd.conftest import CACHE, Daemon

from sandboxd.base_template import build_base


def test_it_holds_what_it_promises_and_is_built_once(daemon: Daemon, sandbox: Sandbox) -> None:
    said: list[str] = []
    build_base(CACHE, said.append)
    assert said == []
    assert json.loads((CACHE / "base" / "template.json").read_text())["name"] == "base"
    told = sandbox.commands.run(
        "git --version; curl --version; python3 --version; node --version; npm --version"
    )
    assert "v24" in told.stdout
    assert daemon.process is not None
