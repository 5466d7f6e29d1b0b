"""A cloud whose template is not there says so wherever somebody looks, with the command that builds it."""

from __future__ import annotations

from contextlib import closing

import pytest
from tests.support.cloud import running_cloud

pytestmark = pytest.mark.engine

COMMAND = "shmastra template build"


def test_without_the_template_everything_names_the_command() -> None:
    environ = {"SHMASTRA_DEMO_MODEL": "off", "SHMASTRA_TEMPLATE": "absent"}
    with (
        running_cloud(environ, name="no-template") as cloud,
        closing(cloud.signed_in("ann@example.com")) as ann,
    ):
        ready = ann.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["database"] == ready.json()["sandboxes"] == "ok"
        assert COMMAND in ready.json()["template"]
        ann.get("/workspace")
        assert COMMAND in cloud.until(ann, "broken")["error"]
        log = (cloud.data / "logs/worker.log").read_text()
        assert COMMAND in log
        assert "Traceback" not in log
