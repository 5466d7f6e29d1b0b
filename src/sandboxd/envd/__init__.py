"""envd: what E2B runs inside a sandbox, here a server beside it whose hands reach in.

Every operation is done inside the sandbox, as its user and under its filter (``inside``); nothing out here
opens a path of a sandbox by name.
"""

from sandboxd.envd.access import may, signed_for
from sandboxd.envd.app import Envd
from sandboxd.envd.reach import Hands

__all__ = ["Envd", "Hands", "may", "signed_for"]
