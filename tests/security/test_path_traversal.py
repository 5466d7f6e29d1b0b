"""Paths that climb out of the folder they are for, over the wire.

Files of a sandbox are in ``engine/test_files.py``; what ``sandbox cp`` and ``restore`` unpack is in the tests
of those: ``cli/test_copying.py``, ``backup/test_staging.py``, ``sandboxd/test_unpacking.py``.
"""

from __future__ import annotations

import pytest
from tests.security.support import Cloud, status

from shmastra_cloud.studio import Bundle

CLIMBS = [
    "../master.key",
    "..%2fmaster.key",
    "%2e%2e/master.key",
    "%2e%2e%2fmaster.key",
    ".%2e/master.key",
    "..%5cmaster.key",
    "..\\master.key",
    "..%252fmaster.key",
    "..%c0%afmaster.key",
    "..%ef%bc%8fmaster.key",
    "assets/../../master.key",
    "assets/..;/..;/master.key",
    "/master.key",
    "//master.key",
    "./../master.key",
    "....//master.key",
    "index.html/../../master.key",
    "%00../master.key",
    "../run/admin.sock",
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("prefix", ["/studio/", "/studio/assets/", "/"])
@pytest.mark.parametrize("path", CLIMBS)
def test_studios_bundle_gives_its_own_files_only(cloud: Cloud, prefix: str, path: str) -> None:
    secret = (cloud.data / "master.key").read_bytes()
    answer = cloud.ask(f"GET {prefix}{path}", *cloud.mine())
    assert status(answer) in {200, 400, 404}
    body = answer.partition(b"\r\n\r\n")[2]
    assert secret not in body
    assert b"root:" not in body
    assert status(answer) != 200 or body.lower().startswith(b"<html>"), "it is no page of Studio's"


def test_a_name_that_is_no_file_of_the_bundle_is_none(cloud: Cloud) -> None:
    bundle = Bundle(cloud.data / "studio", cloud.url)
    for path in (*CLIMBS, "", ".", "..", "index.html"):
        assert not bundle.has(path), path
