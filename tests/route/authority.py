"""A certificate authority for the tests, by the openssl program: servers, clients, and how long they hold."""

import subprocess
from pathlib import Path

SERVER = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        argv = ["req", "-x509", *_new_key(self._key), "-out", self.certificate, "-days", "30", "-subj", f"/CN={name}"]
        _openssl(*argv, "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name: str, *, days: int = 30, extension: str = SERVER) -> tuple[Path, Path]:
        """Return the files of a new certificate and its key."""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        _openssl("req", *_new_key(key), "-out", request, "-subj", f"/CN={name}")
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(extension + "\n")
        signed = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", str(days), "-extfile", extensions)
        _openssl("x509", "-req", "-in", request, "-out", certificate, *signed)
        return certificate, key


def _new_key(path: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)


def _openssl(*argv: str | Path) -> None:
    subprocess.run(["openssl", *argv], check=True, capture_output=True)
