import gzip
import re
from pathlib import Path

import pytest

from shmastra_cloud.studio import Bundle, BundleMissing


def test_a_missing_bundle_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="make up"):
        Bundle(tmp_path, "http://127.0.0.1:3000")


def test_every_placeholder_is_filled_and_every_script_carries_the_nonce(folder: Path) -> None:
    page = Bundle(folder, "https://cloud.example.com").page("N0nce")
    assert "%%" not in page
    assert "window.PREFIX = '/api/mastra'" in page
    scripts = re.findall(r"<script[^>]*>", page)
    assert len(scripts) == 3
    assert all('nonce="N0nce"' in script for script in scripts)


def test_assets_are_compressed_where_that_helps(folder: Path) -> None:
    bundle = Bundle(folder, "http://127.0.0.1:3000")
    script = bundle.asset("assets/main.js")
    assert script.compressed is not None
    assert gzip.decompress(script.compressed) == script.body
    assert "javascript" in script.media_type
    assert bundle.asset("assets/tiny.png").compressed is None


@pytest.mark.parametrize("name", ["index.html", "../secret", "assets", "", "assets/none.js", "/etc/passwd"])
def test_only_what_lay_in_the_folder_at_start_is_an_asset(folder: Path, name: str) -> None:
    assert not Bundle(folder, "http://127.0.0.1:3000").has(name)
