"""Azurite in the place of a storage account of Azure, for Terraform's own azurerm backend.

Terraform asks https://ACCOUNT.blob.core.windows.net and takes no other address but from Azure's metadata. So that name is kept, and a proxy
(HTTPS_PROXY) leads every connection to Azurite, which has a certificate for it from an authority of ours (SSL_CERT_FILE). The account is
not the emulators' own, which Terraform's SDK signs for in another way, and the key comes by ARM_ACCESS_KEY: no login is needed.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from azure.storage.blob import BlobServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.providers.azure import azurite_server
from tests.providers.azure.azurite_server import WELL_KNOWN_KEY

ACCOUNT = "acmestate"
REST = "\r\n\r\n"


def certificates(folder: Path) -> None:
    """Write `ca.pem`, and a certificate of its for the account (`cert.pem`, `key.pem`)."""
    now, plain, pem = datetime.now(UTC), serialization.NoEncryption(), serialization.Encoding.PEM
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the tests of mcml")])

    def unsigned(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        begun = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        begun = begun.serial_number(x509.random_serial_number())
        return begun.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=1))

    names = x509.SubjectAlternativeName([x509.DNSName("*.blob.core.windows.net"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    ca = unsigned("the tests of mcml", authority).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    (folder / "ca.pem").write_bytes(ca.sign(authority, hashes.SHA256()).public_bytes(pem))
    made = unsigned(ACCOUNT, own).add_extension(names, critical=False).sign(authority, hashes.SHA256())
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(own.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


class Tunnel:
    """A proxy that leads every CONNECT to one port on this machine, whatever it names; `names` are those that were asked for.

    While it is `away` it refuses all, as one does that does not get at the other side.
    """

    def __init__(self, port: int) -> None:
        self.port, self.away, self.names = port, False, set[str]()
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, as HTTPS_PROXY wants it."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            asked = b""
            while not asked.endswith(REST.encode()):
                if not (more := client.recv(4096)):
                    return
                asked += more
            self.names.add(asked.split()[1].decode())
            if self.away:
                client.sendall(f"HTTP/1.1 502 Bad Gateway{REST}".encode())
                return
            with socket.create_connection(("127.0.0.1", self.port)) as other:
                client.sendall(f"HTTP/1.1 200 OK{REST}".encode())
                back = threading.Thread(target=_pump, args=(other, client), daemon=True)
                back.start()
                _pump(client, other)
                back.join()


def _pump(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    for end in (source, to):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class AzureStore:
    """The account: a client of its own SDK, and the way by which Terraform gets there."""

    client: Any
    tunnel: Tunnel

    def settings(self) -> dict[str, Any]:
        """Make a container; return the settings of the backend of one unit in it."""
        container = f"mcml-{uuid4().hex[:12]}"
        self.client.create_container(container)
        return {"storage_account_name": ACCOUNT, "container_name": container, "key": "acme/unit.tfstate"}

    def blobs(self, container: str) -> dict[str, Any]:
        """Return the blobs of a container by name, each with its metadata and its lease."""
        return {blob.name: blob for blob in self.client.get_container_client(container).list_blobs(include=["metadata"])}


@contextmanager
def running(folder: Path) -> Iterator[AzureStore]:
    """Run it, with the environment of this process leading Terraform there. Raises AzuriteMissing."""
    certificates(folder)
    own = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{WELL_KNOWN_KEY}"}
    with patch.dict(os.environ, own), azurite_server.running(folder / "log", "--cert", "cert.pem", "--key", "key.pem") as server:
        tunnel = Tunnel(int(server.origin.rpartition(":")[2]))
        login = {"ARM_ACCESS_KEY": WELL_KNOWN_KEY, "SSL_CERT_FILE": str(folder / "ca.pem"), "HTTPS_PROXY": tunnel.url}
        client = BlobServiceClient(f"{server.origin}/{ACCOUNT}", credential=WELL_KNOWN_KEY, connection_verify=str(folder / "ca.pem"))
        try:
            with patch.dict(os.environ, login), client:
                yield AzureStore(client, tunnel)
        finally:
            tunnel.close()
