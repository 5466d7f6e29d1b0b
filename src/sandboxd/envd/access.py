"""Who may ask envd: the sandbox's access token, or a signature made with it for one file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATIONS = {"GET": "read", "POST": "write"}


def may(scope: Mapping[str, object], headers: Mapping[bytes, str], token: str) -> bool:
    """Tell whether a request to envd may be answered."""
    if scope["path"] == "/health":
        return True
    given = headers.get(b"x-access-token")
    if given is not None:
        return hmac.compare_digest(given.encode(), token.encode())
    return signed_for(scope, token)


def signed_for(scope: Mapping[str, object], token: str) -> bool:
    """Tell whether a request carries the signature of a file's address (E2B's ``v1_``), not yet expired."""
    operation = OPERATIONS.get(str(scope["method"]))
    query = scope["query_string"]
    if scope["path"] != "/files" or operation is None or not isinstance(query, bytes):
        return False
    try:
        told = {name: values[0] for name, values in parse_qs(query.decode(), keep_blank_values=True).items()}
    except ValueError:
        return False
    expires = told.get("signature_expiration")
    if expires is not None and not (expires.isdigit() and int(expires) > time.time()):
        return False
    parts = [told.get("path", ""), operation, told.get("username", ""), token]
    wanted = _signature(":".join([*parts, expires] if expires is not None else parts))
    return hmac.compare_digest(told.get("signature", "").encode(), wanted.encode())


def _signature(text: str) -> str:
    return "v1_" + base64.b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
