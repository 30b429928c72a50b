"""`python -m tests.terraform.stub_provider SCHEMA [MORE]`, as Terraform starts it: go-plugin's handshake, then gRPC until it is stopped.

MORE is a JSON file with the `answers`, the `filled` blocks and what is `found` of `Provider`.

https://github.com/hashicorp/go-plugin/blob/main/docs/internals.md: one line on stdout says where, and with which certificate.
"""

import base64
import json
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.terraform.stub_provider.provider import Provider, read
from tests.terraform.stub_provider.wire import METHODS, message

COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""Terraform's own cookie, which says that it is Terraform who starts us (not a secret: it stands in its source)."""


def certificate() -> tuple[bytes, bytes, bytes]:
    """Return a key and a certificate for localhost in PEM, and the certificate in DER."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, form, plain), made.public_bytes(pem), made.public_bytes(serialization.Encoding.DER)


def handlers(provider: Provider, stop: threading.Event) -> list[Any]:
    """Return the gRPC handlers: the provider's, and those of go-plugin that end the process and carry its output."""

    def unary(name: str, given: str, answer: str) -> Any:
        do, read_in, kind = getattr(provider, name, None), message(given).FromString, message(answer)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _: do(request) if do else kind(), read_in, lambda made: made.SerializeToString()
        )

    def shutdown(_: bytes, __: Any) -> bytes:
        stop.set()
        return b""

    def stdio(_: bytes, __: Any) -> Any:
        stop.wait()
        yield from ()

    own = {name: unary(name, given, answer) for name, (given, answer) in METHODS.items()}
    return [
        grpc.method_handlers_generic_handler("tfplugin6.Provider", own),
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)}),
        grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": grpc.unary_stream_rpc_method_handler(stdio)}),
    ]


def main(argv: list[str]) -> int:
    """Serve until Terraform says stop, or is gone."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != COOKIE:
        print("This is a Terraform provider: Terraform starts it.", file=sys.stderr)
        return 1
    more = json.loads(Path(argv[1]).read_text()) if len(argv) > 1 else {}
    stop, parent = threading.Event(), os.getppid()
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers(tuple(handlers(Provider(read(Path(argv[0])), **more), stop)))
    key, pem, der = certificate()
    with tempfile.TemporaryDirectory(prefix="stub-provider-") as folder:
        socket = f"{folder}/s"
        server.add_secure_port(f"unix://{socket}", grpc.ssl_server_credentials([(key, pem)]))
        server.start()
        print(f"1|6|unix|{socket}|grpc|{base64.b64encode(der).decode().rstrip('=')}", flush=True)
        while not stop.wait(0.5) and os.getppid() == parent:
            pass
        server.stop(0.2).wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
