"""A receiver of OTLP over HTTP, held against OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Attributes = dict[str, Any]


@dataclass
class Received:
    """What a receiver was sent; ``status`` is what it answers, after ``rest`` seconds."""

    url: str = ""
    status: int = 200
    rest: float = 0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> Attributes:
        return plain(self.requests[0].resource_spans[0].resource.attributes)

    def wait(self, count: int = 1, seconds: float = 10) -> list[Any]:
        end = time.monotonic() + seconds
        while len(self.spans) < count:
            assert time.monotonic() < end, f"{len(self.spans)} spans in {seconds} s"
            time.sleep(0.02)
        return self.spans


def plain(attributes: Any) -> Attributes:
    """Return attributes as Python has them."""
    found: Attributes = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


@contextmanager
def receiver(**options: Any) -> Iterator[Received]:
    received = Received(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            assert self.headers["content-type"] == "application/x-protobuf"
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            time.sleep(received.rest)
            if received.status == 200:
                received.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(received.status)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
