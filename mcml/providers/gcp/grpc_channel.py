"""The way to the APIs that speak gRPC only: a channel whose calls carry the token that the HTTP session would send.

The token is added by us, in the caller's thread: a login that fails raises what google.auth raises, where gRPC's own plug-in makes it a
lost connection. A token that is refused is renewed once, as the HTTP session does.
"""

from collections.abc import Callable
from typing import Any

import grpc

MOST_BYTES = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def open_channel(address: str, credentials: Any, request: Callable[..., Any], *, encrypted: bool) -> Any:
    """Return a channel to host:port; `request` is google.auth's transport for new tokens. Nothing is sent before the first call."""
    if encrypted:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(), options=MOST_BYTES)
    else:
        channel = grpc.insecure_channel(address, options=MOST_BYTES)
    return grpc.intercept_channel(channel, _WithToken(credentials, request))


class _WithToken(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    def __init__(self, credentials: Any, request: Callable[..., Any]) -> None:
        self._credentials, self._request = credentials, request

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        call = continuation(self._signed(client_call_details), request)
        if call.code() is grpc.StatusCode.UNAUTHENTICATED:
            self._credentials.refresh(self._request)
            call = continuation(self._signed(client_call_details), request)
        return call

    def _signed(self, details: Any) -> Any:
        headers: dict[str, str] = {}
        self._credentials.before_request(self._request, "POST", "", headers)
        metadata = [*(details.metadata or ()), *((name.lower(), value) for name, value in headers.items())]
        return details._replace(metadata=metadata)
