"""The engine's own daemon and sandbox, for those who attack them."""

from tests.sandboxd.conftest import daemon, sandbox

__all__ = ["daemon", "sandbox"]
