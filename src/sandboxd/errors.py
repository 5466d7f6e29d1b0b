"""The engine's error tree; drawn in the package's docstring."""


class EngineError(Exception):
    """Anything that keeps the engine from doing what was asked."""


class NoSuchSandbox(EngineError):
    """There is no sandbox of that id."""


class NoSuchTemplate(EngineError):
    """There is no template of that name; the message names the command that builds it."""


class WrongState(EngineError):
    """The sandbox is not in a state in which this can be done."""


class CommandFailed(EngineError):
    """A program of the system (runc, mount, mkfs) refused; the message ends with what it said."""


class BadLayer(EngineError):
    """A stream of files is not what a sandbox's or a template's layer can hold."""
