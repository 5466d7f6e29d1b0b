"""An upstream's answers, parsed without any I/O: bytes in, a head and the pieces of a body out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from httprelay.errors import UpstreamClosed, UpstreamProtocolError

if TYPE_CHECKING:
    from httprelay.headers import Headers

MAX_HEAD_BYTES = 64 * 1024
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")


class ResponseParser:
    """Reads one answer after another: :meth:`begin` before each, then what :meth:`feed` gets of it.

    ``status`` and ``headers`` (names in lower case) hold once ``head_done``; ``keep`` tells, once ``done``,
    whether the connection can carry another answer. Interim answers and trailers are read and dropped.
    After an error only :meth:`begin` has a meaning, and what was read before it.
    """

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = None
        self.keep = False
        self.begin(is_head=False)

    def begin(self, *, is_head: bool) -> None:
        """Forget the last answer and get ready for the next one, which has no body where ``is_head``."""
        if not self.keep:
            self._parser = None
        self._is_head = is_head
        self._raw: list[bytes] = []
        self._head_bytes = self._interims = self._without_body = 0
        self._chunks: list[bytes] = []
        self._framing: Headers = []
        self.buffered = 0
        self.headers: Headers = []
        self.status = 0
        self.head_done = self.done = self.keep = False

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            UpstreamProtocolError: it is not HTTP that may be passed on, or follows the answer's end.

        """
        if not self.head_done:
            self._feed_head(data)
            return
        before = self.buffered
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]  # the head has made it
        except (HttpParserError, HttpParserUpgrade) as error:
            self._refuse(error)
        if self.buffered == before:
            self._note_without_body(len(data))
        else:
            self._without_body = 0

    def end(self) -> None:
        """Learn that the connection has ended, in order.

        Raises:
            UpstreamClosed: the answer is not whole.

        """
        self.keep = False
        if self.done:
            return
        if not self.head_done or self._framing:
            raise UpstreamClosed("the upstream closed the connection before its answer was whole")
        self.done = True

    def take(self) -> bytes:
        """Return what there is of the body since the last time."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.buffered = 0
        return data

    def close(self) -> None:
        """Let go of the parser, which knows us."""
        self._parser, self.keep = None, False

    def _feed_head(self, data: bytes) -> None:
        """Look at no more of a head than may be one."""
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        room = MAX_HEAD_BYTES - self._head_bytes
        head = data if len(data) <= room else data[:room]
        self._head_bytes += len(head)
        self._raw.append(head)
        try:
            self._parser.feed_data(head)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._refuse(error)
        if len(data) > room:
            if not self.head_done:
                raise UpstreamProtocolError("the upstream's headers are too large")
            self.feed(data[room:])

    def _note_without_body(self, size: int) -> None:
        """Bound what the parser holds of a trailer's line until it has ended."""
        self._without_body += size
        if self._without_body > MAX_HEAD_BYTES and not self.done:
            raise UpstreamProtocolError("the upstream's chunk lines or trailers are too large")

    def _refuse(self, error: Exception) -> NoReturn:
        self.keep = False
        ours = error.__context__
        if isinstance(ours, UpstreamProtocolError):
            raise ours from None
        raise UpstreamProtocolError(f"the upstream's answer is not valid HTTP: {error}") from None

    # What httptools calls.
    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.done:
            raise UpstreamProtocolError("the upstream sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if self.head_done:
            return
        name = name.lower()
        pair = (name, value.rstrip(b" \t"))
        self.headers.append(pair)
        if name in _FRAMING:
            self._framing.append(pair)

    def on_headers_complete(self) -> None:
        """Note the final head; interim ones are dropped."""
        status = self._parser.get_status_code()  # type: ignore[union-attr]  # it is who calls
        if status < 200:
            self._drop_interim(status)
            return
        if status > 599:
            raise UpstreamProtocolError("the upstream's answer has a status that HTTP does not know")
        if self._framing:
            self._check_framing()
        self._check_versions()
        self.status = status
        self.head_done = True
        self.done = self._is_head

    def on_body(self, body: bytes) -> None:
        """Keep a piece until the reader takes it."""
        if not self._is_head:
            self._chunks.append(body)
            self.buffered += len(body)

    def on_message_complete(self) -> None:
        """Ask about keep-alive now: the parser has forgotten it a moment later."""
        if self.head_done:
            self.done = True
            self.keep = not self._is_head and self._parser.should_keep_alive()  # type: ignore[union-attr]

    def _drop_interim(self, status: int) -> None:
        if status < 100 or status == 101 or self._framing:
            raise UpstreamProtocolError("the upstream sent an interim answer that nobody asked for")
        self._interims += 1
        self.headers = []

    def _check_framing(self) -> None:
        name, value = self._framing[0]
        if len(self._framing) > 1:
            raise UpstreamProtocolError("the upstream's answer has two lengths")
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise UpstreamProtocolError("the upstream's answer has a Transfer-Encoding other than chunked")

    def _check_versions(self) -> None:
        """See what the parser does not tell: blank lines before a head, and a version that is not ours."""
        raw = self._raw[0] if len(self._raw) == 1 else b"".join(self._raw)
        self._raw = []
        for _ in range(self._interims):
            head, _, raw = raw.partition(b"\r\n\r\n")
            if not head.startswith(_VERSIONS):
                raise UpstreamProtocolError("the upstream's interim answer is not HTTP/1")
        if not raw.startswith(_VERSIONS):
            raise UpstreamProtocolError("the upstream's answer is not HTTP/1")
        if self._framing and raw.startswith(b"HTTP/1.0") and self._framing[0][0] == b"transfer-encoding":
            raise UpstreamProtocolError("the upstream's answer is chunked, which HTTP/1.0 does not know")
