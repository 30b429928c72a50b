"""A collector of spans: takes OTLP over HTTP as Envoy sends it (protobuf) and keeps what the tests ask about.

The fields are those of https://github.com/open-telemetry/opentelemetry-proto: ExportTraceServiceRequest.resource_spans = 1,
ResourceSpans.scope_spans = 2, ScopeSpans.spans = 2; Span: trace_id = 1, span_id = 2, parent_span_id = 4, name = 5, attributes = 9.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Span:
    trace: str
    span: str
    parent: str
    attributes: dict[str, str]


class Collector:
    """Listens on a free port until the block ends."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.paths: set[str] = set()
        spans, paths = self.spans, self.paths

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = b""
                while size := int(self.rfile.readline(), 16):  # Envoy sends it in chunks
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                paths.add(self.path)
                spans.extend(read(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> "Collector":
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def read(request: bytes) -> Iterator[Span]:
    """Yield the spans of one request."""
    for resource in _all(request, 1):
        for scope in _all(resource, 2):
            for span in _all(scope, 2):
                pairs = {_first(one, 1).decode(): _first(_first(one, 2), 1).decode(errors="replace") for one in _all(span, 9)}
                yield Span(_first(span, 1).hex(), _first(span, 2).hex(), _first(span, 4).hex(), pairs)


def _all(message: bytes, number: int) -> list[bytes]:
    return [value for field, value in _fields(message) if field == number]


def _first(message: bytes, number: int) -> bytes:
    return next(iter(_all(message, number)), b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a protobuf message; numbers are left out (https://protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
