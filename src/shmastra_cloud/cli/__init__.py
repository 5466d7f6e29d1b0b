"""``shmastra ...``: parses, calls, prints.

Exit status 0 done, 1 failed (the reason on stderr), 2 wrong usage; `sandbox exec` gives its command's own.
"""

from shmastra_cloud.cli.app import app, main

__all__ = ["app", "main"]
