"""Who may speak on the admin's socket, by the kernel's word: root, the user who serves, the socket's owner.

The file's mode says the same, but a mode can be changed by mistake, and a socket that is passed on has none.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from httprelay import BoundedHttpProtocol

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger(__name__)

ROOT = 0
PEER = "peer_uid"  # in a request's state
SILENT_SECONDS = 5
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
_TEXT = b'{"error": "Only root and the user who runs the cloud may do this.", "code": "wrong_peer"}'
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_TEXT), _TEXT)
)


class PeerProtocol(BoundedHttpProtocol):
    """Refuses whoever else connects, whatever he asks."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look at who has connected."""
        self._stranger = False
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        self.app_state = {**self.app_state, PEER: peer_uid(peer)}
        if not may_speak(peer):
            self._stranger = True
            log.warning("uid %d was refused on the admin's socket", peer_uid(peer))
            self.loop.call_later(SILENT_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Read on, or refuse; closing before anything was read would lose the refusal on its way."""
        if not self._stranger:
            super().data_received(data)
        elif not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()


def peer_uid(connection: socket.socket) -> int:
    """Return the uid that the other end of a unix socket had when it connected."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(told)[1])


def may_speak(connection: socket.socket) -> bool:
    """Tell whether the other end of a connection may administer this cloud."""
    allowed = {ROOT, os.geteuid()}
    try:
        allowed.add(Path(connection.getsockname()).stat().st_uid)
    except OSError:
        log.info("the admin's socket has no file any more; its owner cannot be told")
    return peer_uid(connection) in allowed
