"""Which sandbox and which port of it a request is for: by headers, or by the host it was sent to. No I/O.

With one address for all (``E2B_SANDBOX_URL``) the SDK says it in ``E2b-Sandbox-Id`` and ``E2b-Sandbox-Port``;
with a domain (``E2B_DOMAIN``) the host is ``<port>-<id>.<domain>``, and ``api.<domain>`` is the control API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVD_PORT = 49983
_HOST = re.compile(r"(\d{1,5})-(i[0-9a-f]{18})\..+")


def wanted(headers: Mapping[bytes, str]) -> tuple[str, int] | None:
    """Return the sandbox's id and the port; None where a request is for the control API.

    Raises:
        ValueError: the port cannot be one.
    """
    sandbox_id = headers.get(b"e2b-sandbox-id")
    if sandbox_id is not None:
        return sandbox_id, _port(headers.get(b"e2b-sandbox-port", str(ENVD_PORT)))
    found = _HOST.fullmatch(headers.get(b"host", "").lower())
    return None if found is None else (found[2], _port(found[1]))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("The port is not one")
    return int(text)
