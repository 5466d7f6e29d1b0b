"""The studio package's error tree; drawn in the package's docstring."""


class StudioError(Exception):
    """Anything that keeps Studio from being served."""


class BundleMissing(StudioError):
    """The static bundle is not there."""
