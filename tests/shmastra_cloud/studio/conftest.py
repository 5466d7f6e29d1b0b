from pathlib import Path

import pytest

PAGE = """<!doctype html><html><head><base href="%%MASTRA_STUDIO_BASE_PATH%%/">
<script>window.PREFIX = '%%MASTRA_API_PREFIX%%'; window.X = '%%MASTRA_NEW_AND_UNKNOWN%%';</script>
<script type="module" src="/studio/assets/main.js"></script></head>
<body><div id="root"></div></body></html>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a bundle of the shape of Studio's."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets" / "main.js").write_text("let x = 1;\n" * 1000)
    (tmp_path / "assets" / "tiny.png").write_bytes(b"\x89PNG")
    return tmp_path
