"""The keys of the benchmark as LiteLLM's custom authentication; runs in the peers' environment."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fastapi import Request
from litellm.proxy._types import UserAPIKeyAuth

_USERS = {
    hashlib.sha256(key.encode()).digest(): key for key in Path(os.environ["KEYS_FILE"]).read_text().split()
}


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:  # noqa: ARG001 -- LiteLLM's
    """Return whose key it is.

    Raises:
        PermissionError: nobody's.
    """
    found = _USERS.get(hashlib.sha256(api_key.encode()).digest())
    if found is None:
        raise PermissionError("unknown key")
    return UserAPIKeyAuth(api_key=api_key, user_id=found.split("_")[1])
