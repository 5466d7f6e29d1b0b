"""What the built template holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import cache


@pytest.fixture(scope="module")
def rootfs() -> Iterator[Path]:
    with cache.in_use() as made:
        yield made.templates / "shmastra/rootfs"


def test_it_starts_with_compiled_packages_and_without_data(rootfs: Path) -> None:
    project = rootfs / "home/user/shmastra"
    compiled = [file for file in (project / ".mastra/compile-cache").rglob("*") if file.is_file()]
    assert len(compiled) > 100
    assert {file.stat().st_uid for file in compiled} == {1000}  # Node looks for its own user's
    assert [entry.name for entry in (project / ".mastra").iterdir()] == ["compile-cache"]
    for folder in (".storage", ".shmastra", ".logs"):
        assert not list((project / folder).iterdir())
    assert not list((rootfs / "tmp").iterdir())


def test_its_pnpm_is_the_one_that_the_project_names(rootfs: Path) -> None:
    # Another one would make pnpm download the one that is named, which a sandbox may not be able to.
    package = (rootfs / "home/user/shmastra/package.json").read_text()
    pnpm = (rootfs / "opt/tools/node_modules/pnpm/package.json").read_text()
    assert '"packageManager": "pnpm@10.20.0"' in package
    assert '"version": "10.20.0"' in pnpm
    assert (rootfs / "usr/local/bin/pnpm").readlink() == Path("/opt/tools/node_modules/pnpm/bin/pnpm.cjs")
