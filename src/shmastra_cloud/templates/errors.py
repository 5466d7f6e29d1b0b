"""The templates package's error tree; drawn in the package's docstring."""


class TemplateError(Exception):
    """Anything that keeps a template from being built."""


class BuildFailed(TemplateError):
    """A step of the recipe failed."""
