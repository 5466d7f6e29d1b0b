import pytest
from e2b import Sandbox
from e2b.exceptions import NotFoundException, SandboxException

pytestmark = pytest.mark.engine


def test_folders_are_made_listed_moved_and_removed(sandbox: Sandbox) -> None:
    assert sandbox.files.make_dir("/home/user/a/b")
    assert not sandbox.files.make_dir("/home/user/a/b")
    sandbox.files.write("/home/user/a/b/f", "x")
    names = [entry.path for entry in sandbox.files.list("/home/user/a", depth=2)]
    assert names == ["/home/user/a/b", "/home/user/a/b/f"]
    sandbox.files.rename("/home/user/a/b/f", "/home/user/a/g")
    assert sandbox.files.exists("/home/user/a/g")
    assert sandbox.files.get_info("/home/user/a/g").owner == "user"
    sandbox.files.remove("/home/user/a")
    assert not sandbox.files.exists("/home/user/a")
    with pytest.raises(NotFoundException):
        sandbox.files.list("/home/user/a")


def test_what_the_user_may_not_he_may_not_through_envd_either(sandbox: Sandbox) -> None:
    for path in ("/usr/evil", "/proc/sys/kernel/x"):
        with pytest.raises(SandboxException):
            sandbox.files.make_dir(path)
