"""envd: what E2B runs inside a sandbox, here a server beside it whose hands reach in.

Every operation is a program started inside the sandbox, as its user and under its filter; nothing here opens
a path of a sandbox by name.
"""

from sandboxd.envd.app import Hands, envd_app

__all__ = ["Hands", "envd_app"]
