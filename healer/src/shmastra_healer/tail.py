"""The end of a log, made fit to be shown: bounded, without secrets and without colours. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CHARACTERS = 4000
HIDDEN = "[hidden]"
SHORTEST_SECRET = 6
SECRET_NAMES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")

_VIRTUAL_KEY = re.compile(r"vk_[0-9A-Za-z-]+_[0-9A-Za-z]+")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def presentable(data: bytes, env: Mapping[str, str], *, whole: bool) -> str:
    """Return the last characters of a log.

    ``env`` is the sandbox's ``.env``, whose secrets are hidden, as is everything that looks like a virtual
    key; where ``data`` is not the ``whole`` log its first line, which may begin within a secret, is left out.
    """
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    if not whole:
        text = text.partition("\n")[2]
    text = hide(_CONTROLS.sub("", _COLOURS.sub("", text)), env).strip()
    if len(text) <= CHARACTERS:
        return text
    end = text[-CHARACTERS:]
    return end.partition("\n")[2] if "\n" in end[: CHARACTERS // 2] else end


def hide(text: str, env: Mapping[str, str]) -> str:
    """Return a text without the values of secrets."""
    secrets = {value for name, value in env.items() if name.endswith(SECRET_NAMES)}
    for value in sorted(secrets, key=len, reverse=True):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    return _VIRTUAL_KEY.sub(HIDDEN, text)
