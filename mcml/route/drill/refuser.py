"""A gRPC server that a relay connects to in a backend's stead while a drill wants it to refuse: every call ends UNAVAILABLE, and asked for
its health it says that it serves. What is in a message is not looked at."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from mcml.core.open_inference import HEALTH_SERVICE
from mcml.route.drill.calls import need_grpc

SERVING = b"\x08\x01"
"""A grpc.health.v1.HealthCheckResponse: its field 1, `status`, is 1 (SERVING)."""


@contextmanager
def refuser() -> Iterator[int]:
    """Serve on a free port of loopback while the block runs; yields the port. Raises McmlError where there is no gRPC."""
    need_grpc()
    import grpc

    class Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            if details.method.startswith(f"/{HEALTH_SERVICE}/"):
                return grpc.unary_unary_rpc_method_handler(lambda _body, _context: SERVING)
            return grpc.unary_unary_rpc_method_handler(refuse)

    def refuse(_body: bytes, context: Any) -> bytes:
        return bytes(context.abort(grpc.StatusCode.UNAVAILABLE, "a drill"))

    server = grpc.server(ThreadPoolExecutor(4, thread_name_prefix="route-refuser"), handlers=[Methods()])
    try:
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield int(port)
    finally:
        server.stop(grace=None)
