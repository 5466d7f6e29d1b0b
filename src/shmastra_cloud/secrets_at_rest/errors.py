"""The error tree of secrets at rest; drawn in the package's docstring."""


class MasterKeyError(Exception):
    """The master key cannot be had, or is not the one that sealed a secret."""


class RotationRefused(MasterKeyError):
    """The master key was not replaced, or not wholly; the message says what to do."""
