"""The relay's error tree; drawn in the package's docstring."""


class RelayError(Exception):
    """A request could not be relayed; the response has not begun.

    ``consumed`` tells whether the request's body was read, so that the same request cannot be relayed again.
    """

    consumed: bool = False


class UnsafeRequest(RelayError):
    """What was to be sent could be read in two ways."""


class ConnectFailed(RelayError):
    """No connection to the upstream could be made."""


class TooManyConnections(ConnectFailed):
    """The target's bound on connections is reached."""


class ClientGone(RelayError):
    """Who asked went away before the response began."""


class UpstreamClosed(RelayError):
    """The upstream ended the connection before its response began."""


class UpstreamTimeout(RelayError):
    """The upstream did not answer in time."""


class UpstreamProtocolError(RelayError):
    """The upstream's answer is not HTTP that may be passed on."""


class Stopping(RelayError):
    """The process that relays is about to end, and waits for this no longer."""


class Revoked(RelayError):
    """Who asked has lost the right to the answer while it was on its way."""


class HandshakeRefused(RelayError):
    """The upstream answered the handshake of a WebSocket otherwise: ``status``, ``headers``, ``body``."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        super().__init__(f"the upstream answered the handshake with {status}")
        self.status, self.headers, self.body = status, headers, body
