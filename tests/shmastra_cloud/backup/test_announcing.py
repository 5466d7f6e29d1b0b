import logging

import pytest

from shmastra_cloud.backup import announce


def test_what_was_done_is_said_without_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    announce("backup.made", {"file": "/b", "users": 3, "sandboxes": [{"sandbox_id": "i1"}], "key": "hidden"})
    assert caplog.messages == ["backup.made: /b, 3 users, 1 sandboxes"]
