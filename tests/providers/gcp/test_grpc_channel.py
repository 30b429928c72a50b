"""The channel to Google's gRPC-only APIs over TLS: a server with a certificate of its own, and a client that trusts it, or does not.

gRPC reads its roots once a process, so each client is a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.api.metric_pb2 import MetricDescriptor
from google.cloud.monitoring_v3 import ListMetricDescriptorsResponse

CLIENT = """
import sys
from google.cloud.monitoring_v3 import MetricServiceClient
from google.oauth2.credentials import Credentials
from mcml.core.errors import McmlError
from mcml.providers.gcp.error_table import Clue, translate
from mcml.providers.gcp.grpc_channel import open_channel
from mcml.providers.resilience import Policy, guarded

channel = open_channel(f"127.0.0.1:{sys.argv[1]}", Credentials("ya29.secret"), print, encrypted=True)
client = MetricServiceClient(transport=MetricServiceClient.get_transport_class("grpc")(channel=channel))
ask = lambda: client.list_metric_descriptors(name="projects/p", timeout=10, retry=None)
try:
    print([one.type for one in guarded(ask, translate("cannot list the metrics", Clue()), Policy(attempts=1))])
except McmlError as failed:
    print(f"{type(failed).__name__}: {failed.message}: {failed.why}")
"""


class Server(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with one metric and keeps what was sent along."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str]] = []

    def service(self, handler_call_details: Any) -> Any:
        self.metadata.append(dict(handler_call_details.invocation_metadata))
        answer = ListMetricDescriptorsResponse(metric_descriptors=[MetricDescriptor(type="cpu")])
        return grpc.unary_unary_rpc_method_handler(lambda *_: ListMetricDescriptorsResponse.serialize(answer))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A certificate of 127.0.0.1 that signs itself (its file), and its key."""
    key, now = rsa.generate_private_key(public_exponent=65537, key_size=2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    made = made.not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = tmp_path_factory.mktemp("tls") / "roots.pem"
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    return path, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@pytest.fixture
def server(certificate: tuple[Path, bytes]) -> Iterator[tuple[Server, int]]:
    path, key = certificate
    handler, pool = Server(), ThreadPoolExecutor(2)
    standing = grpc.server(pool, handlers=[handler])
    port = standing.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, path.read_bytes())]))
    standing.start()
    yield handler, port
    standing.stop(0.2).wait(10)
    pool.shutdown()


def client(port: int, roots: str) -> str:
    told = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": roots, "GRPC_VERBOSITY": "NONE"}
    done = subprocess.run([sys.executable, "-c", CLIENT, str(port)], env=told, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_a_call_and_its_token_go_through_tls(server: tuple[Server, int], certificate: tuple[Path, bytes]) -> None:
    handler, port = server
    assert client(port, str(certificate[0])) == "['cpu']"
    (sent,) = handler.metadata
    assert sent["authorization"] == "Bearer ya29.secret"


def test_a_certificate_that_nobody_vouches_for_gets_no_token(server: tuple[Server, int]) -> None:
    handler, port = server
    why = "no secure connection: the certificate is refused (a wrong clock can do that too)"
    assert client(port, "") == f"Unavailable: cannot list the metrics: {why}"
    assert handler.metadata == []
