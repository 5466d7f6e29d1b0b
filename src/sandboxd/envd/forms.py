"""Reading a form (``multipart/form-data``) a piece at a time: nothing of a file is held."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_HEAD_BYTES = 16384

Event = tuple[str | None, bytes | None]


class WrongForm(Exception):  # an answer to the client
    """A form that cannot be read."""


class FormReader:
    """Turns the bytes of a form into its files: a name, pieces, and ``(None, None)`` at the end of each."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        self._events: list[Event] = []
        self._field, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._head_bytes = 0
        if not options.get(b"boundary"):
            raise WrongForm("the form has no boundary")
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_part_data": self._on_data,
                "on_part_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> list[Event]:
        """Return what the next bytes hold.

        Raises:
            WrongForm: they are no form.
        """
        self._events = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise WrongForm(str(error)) from error
        return self._events

    def finish(self) -> None:
        """Check that nothing is missing.

        Raises:
            WrongForm: the form ended before its end.
        """
        try:
            self._parser.finalize()
        except FormParserError as error:
            raise WrongForm(str(error)) from error
        if self._name is not None:
            raise WrongForm("the form ended before its end")

    def _begin(self) -> None:
        self._name, self._head_bytes = None, 0
        self._clear()

    def _clear(self) -> None:
        self._field.clear()
        self._value.clear()

    def _on_field(self, data: bytes, begin: int, end: int) -> None:
        self._count(end - begin)
        self._field += data[begin:end]

    def _on_value(self, data: bytes, begin: int, end: int) -> None:
        self._count(end - begin)
        self._value += data[begin:end]

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise WrongForm("a part's headers are too long")

    def _on_header(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            _, told = parse_options_header(bytes(self._value))
            self._name = told.get(b"filename", b"").decode(errors="replace") or None
        self._clear()

    def _on_data(self, data: bytes, begin: int, end: int) -> None:
        self._announce()
        if self._name is not None:
            self._events.append((None, data[begin:end]))

    def _on_end(self) -> None:
        self._announce()
        if self._name is not None:
            self._events.append((None, None))
        self._name = None

    def _announce(self) -> None:
        """Say a file's name once its headers are read, before what is in it."""
        if self._name is not None and self._head_bytes >= 0:
            self._events.append((self._name, None))
            self._head_bytes = -1
