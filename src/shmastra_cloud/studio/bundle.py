"""The static bundle in memory: the page with its values filled in, and compressed assets.

The placeholders ``%%MASTRA_...%%`` are those of the npm package ``mastra`` 1.31.
"""

from __future__ import annotations

import gzip
import mimetypes
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shmastra_cloud.studio.errors import BundleMissing
from shmastra_cloud.studio.patches import patched

if TYPE_CHECKING:
    from pathlib import Path

_PLACEHOLDER = re.compile(r"%%(MASTRA_[A-Z_]+)%%")
_SCRIPT = re.compile(r"<script(?=[\s>])")
_COMPRESSIBLE = re.compile(r"text/|application/(javascript|json|wasm)|image/svg")
MIN_COMPRESSED = 1024

# Says when the page is visible, goes to the sign-in page when nobody is signed in any more, and gives the
# page's nonce to styles that Studio's libraries add by script; those that come in as text have none.
OURS = """
const tell = () => document.visibilityState === "visible" &&
  fetch("/api/sandbox/awake", {method: "POST", keepalive: true}).then(answer => {
    if (answer.status === 401) location.assign("/?returnTo=" + encodeURIComponent(location.pathname));
  }).catch(() => {});
tell(); setInterval(tell, 60000); document.addEventListener("visibilitychange", tell);
const nonce = document.currentScript.nonce, create = document.createElement;
document.createElement = function (...about) {
  const made = create.apply(this, about);
  if (made instanceof HTMLStyleElement) made.nonce = nonce;
  return made;
};
"""
# Studio fills the window by itself, so a note above it takes its height from what Studio fills.
NOTE = """<style nonce="%s">
body { display: flex; flex-direction: column; height: 100dvh; }
#root { flex: 1; min-height: 0; }
#root .h-screen { height: 100%%; }
#shmastra-note { margin: 0; padding: .3rem 1rem; background: #fdf0c8; color: #4a3a00; text-align: center;
  font: 13px/1.4 "Mona Sans", system-ui, sans-serif; }
.dark #shmastra-note { background: #3a3112; color: #f4e3a6; }
</style>
<p id="shmastra-note" role="note">%s</p>
"""


@dataclass(frozen=True)
class Asset:
    """One file: its bytes, its media type, and its compressed form where that is smaller."""

    body: bytes
    media_type: str
    compressed: bytes | None


class Bundle:
    """Studio's files, read once.

    Raises:
        BundleMissing: ``folder`` holds no ``index.html``.
    """

    def __init__(self, folder: Path, public_url: str) -> None:
        self._folder = folder
        try:
            text = (folder / "index.html").read_text()
        except OSError as error:
            raise BundleMissing(
                f"The Studio bundle is not in {folder}. `make up` (or `shmastra template build`) fetches it."
            ) from error
        values = _values(public_url)
        self._page = _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), text)
        self._files = {
            file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
        }
        self._assets: dict[str, Asset] = {}

    def page(self, nonce: str, note: str | None = None) -> str:
        """Return the page whose scripts carry ``nonce``, with ours that says when it is visible.

        ``note`` stands above Studio on every page of it.
        """
        page = _SCRIPT.sub(f'<script nonce="{nonce}"', self._page)
        if note is not None:
            page = page.replace('<div id="root">', NOTE % (nonce, escape(note)) + '<div id="root">', 1)
        return page.replace("</head>", f'<script nonce="{nonce}">{OURS}</script></head>', 1)

    def has(self, name: str) -> bool:
        """Tell whether there is such an asset."""
        return name in self._files and name != "index.html"

    def asset(self, name: str) -> Asset:
        """Return an asset, compressed once; blocking, so call it in a thread the first time.

        Raises:
            KeyError: there is none of that name.
        """
        found = self._assets.get(name)
        if found is None:
            body = self._files[name].read_bytes()
            if name.endswith(".js"):
                body = patched(body)
            media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            squeezed = gzip.compress(body, 6) if _COMPRESSIBLE.match(media_type) else body
            worth_it = len(body) >= MIN_COMPRESSED and len(squeezed) < len(body)
            found = self._assets[name] = Asset(body, media_type, squeezed if worth_it else None)
        return found


def _values(public_url: str) -> dict[str, str]:
    here = urlsplit(public_url)
    return {
        "MASTRA_STUDIO_BASE_PATH": "/studio",
        "MASTRA_API_PREFIX": "/api/mastra",
        "MASTRA_AUTO_DETECT_URL": "true",
        "MASTRA_TELEMETRY_DISABLED": "true",
        "MASTRA_HIDE_CLOUD_CTA": "true",
        "MASTRA_SERVER_HOST": here.hostname or "",
        "MASTRA_SERVER_PORT": str(here.port or (443 if here.scheme == "https" else 80)),
        "MASTRA_SERVER_PROTOCOL": here.scheme,
        "MASTRA_TEMPLATES": "false",
        "MASTRA_EXPERIMENTAL_FEATURES": "false",
        "MASTRA_EXPERIMENTAL_UI": "false",
        "MASTRA_AGENT_SIGNALS": "false",
        "MASTRA_SIGNALS_UI": "false",
    }
