"""Bytes from here to there: HTTP and server-sent events between an ASGI server and an upstream.

RelayError
├── UnsafeRequest           what was to be sent could be read in two ways; nothing was sent
├── ConnectFailed           no connection; nothing was sent
│   └── TooManyConnections  the target's bound is reached
├── ClientGone              who asked went away before the response began
├── UpstreamClosed          the connection ended before the response began
├── UpstreamTimeout         connected, but no response in time
├── UpstreamProtocolError   the response is not HTTP that may be passed on
├── Stopping                the process that relays is about to end
├── Revoked                 who asked has lost the right to the answer
└── HandshakeRefused        a WebSocket was asked for, and something else was answered

All are raised before the response has begun. Once it has, a failure cuts the connection to the client,
or ends a stream of events with one that the caller gives.

WebSockets are in ``websocket_server`` and ``websocket_client``, which load a library that others do without.
"""

from httprelay.errors import (
    ClientGone,
    ConnectFailed,
    HandshakeRefused,
    RelayError,
    Revoked,
    Stopping,
    TooManyConnections,
    UnsafeRequest,
    UpstreamClosed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from httprelay.headers import without_hops
from httprelay.open_streams import OpenStream, OpenStreams
from httprelay.paths import safe_path
from httprelay.pool import Pool, Target
from httprelay.relay import Ended, Observer, Timeouts, relay
from httprelay.server import BoundedHttpProtocol, Bounds
from httprelay.sinks import Sink, sink_of

__all__ = [
    "BoundedHttpProtocol",
    "Bounds",
    "ClientGone",
    "ConnectFailed",
    "Ended",
    "HandshakeRefused",
    "Observer",
    "OpenStream",
    "OpenStreams",
    "Pool",
    "RelayError",
    "Revoked",
    "Sink",
    "Stopping",
    "Target",
    "Timeouts",
    "TooManyConnections",
    "UnsafeRequest",
    "UpstreamClosed",
    "UpstreamProtocolError",
    "UpstreamTimeout",
    "relay",
    "safe_path",
    "sink_of",
    "without_hops",
]
