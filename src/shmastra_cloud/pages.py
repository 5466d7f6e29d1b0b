"""The cloud's own pages: one template environment, one policy."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from starlette.responses import Response

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "html"), autoescape=True, undefined=StrictUndefined
)


def page(name: str, *, status: int = 200, **values: object) -> Response:
    """Render ``html/<name>`` under a policy that allows only this page's own script and style."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    body = TEMPLATES.get_template(name).render(nonce=nonce, **values)
    return HTMLResponse(body, status, {"content-security-policy": policy})
