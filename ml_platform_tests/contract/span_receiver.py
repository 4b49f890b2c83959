"""A collector on the loopback that takes spans by OTLP over HTTP."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What came to `url`: the bodies as they are, and the spans in them."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def services(self) -> set[str]:
        resources = [each.resource for request in self.requests for each in request.resource_spans]
        return {attributes(resource.attributes)["service.name"] for resource in resources}

    def spans(self, trace: str) -> list[Span]:
        """Those of a trace."""
        scopes = [each.scope_spans for request in self.requests for each in request.resource_spans]
        spans = [span for some in scopes for scope in some for span in scope.spans]
        return [span for span in spans if span.trace_id.hex() == trace]


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """The attributes of a span or of a resource that are no lists."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that listens at `url`."""
    collects = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            collects.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collects.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield collects
        finally:
            server.shutdown()
            thread.join()
