"""The supervisor package's error tree; drawn in the package's docstring."""


class SupervisorError(Exception):
    """Anything that keeps the cloud from coming up; the message names the cause and the fix."""


class AlreadyRunning(SupervisorError):
    """Another supervisor holds this data folder."""


class PortTaken(SupervisorError):
    """The public port cannot be bound."""


class Unreadable(SupervisorError):
    """The service user cannot read what it needs."""


class ChildFailed(SupervisorError):
    """A process did not come up."""
