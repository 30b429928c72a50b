"""The certificate of the listener: read, checked, and judged by its age, before Envoy is given it. Nothing broken ever reaches Envoy."""

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mcml.core.errors import Usage
from mcml.core.schema_routes import Tls
from mcml.core.secret import Secret
from mcml.route.config.values import Identity

WARN_DAYS = 14
_SEQUENCE, _EXPLICIT_0, _UTC_TIME = 0x30, 0xA0, 0x17


@dataclass(frozen=True)
class Certified:
    """A certificate that was read, with the moment it ends."""

    identity: Identity
    ends: datetime


def read_certificate(tls: Tls) -> Certified:
    """Read the files of `router.tls`. Raises Usage that names the file and the reason."""
    certificate, key = (_text(Path(path)) for path in (tls.certificate, tls.key))
    authorities = _text(Path(tls.client_ca)) if tls.client_ca else ""
    ends = _ends(certificate, tls.certificate)
    _check_pair(certificate, key, tls)
    if tls.client_ca:
        _check_authorities(authorities, tls.client_ca)
    return Certified(Identity(certificate, Secret(key), authorities), ends)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as failed:
        reason = failed.strerror if isinstance(failed, OSError) else "it is no PEM file"
        raise _unfit(str(path), str(reason)) from failed


def _unfit(path: str, reason: str) -> Usage:
    return Usage(f"cannot use {path}", why=reason, next_step="see router.tls in mcml.toml")


def _check_pair(certificate: str, key: str, tls: Tls) -> None:
    """Let OpenSSL load both; it takes files only, and theirs could change in between."""
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        for path, text in ((one, certificate), (other, key)):
            path.touch(mode=0o600)
            path.write_text(text)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(one, other, password=lambda: "")  # an empty password: an encrypted key must not ask for one
        except ssl.SSLError as broken:
            wrong = "it is not the key of " + tls.certificate if broken.reason == "KEY_VALUES_MISMATCH" else _words(broken)
            raise _unfit(tls.key, wrong) from broken


def _check_authorities(text: str, path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as broken:
        raise _unfit(path, _words(broken)) from broken


def _words(broken: Exception) -> str:
    reason = getattr(broken, "reason", None) or str(broken)
    return f"it holds no whole PEM ({reason.replace('_', ' ').lower()})"


def _ends(certificate: str, path: str) -> datetime:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin not in certificate or end not in certificate:
        raise _unfit(path, "it holds no whole certificate")
    first = certificate[certificate.index(begin) : certificate.index(end) + len(end)]
    try:
        return not_after(ssl.PEM_cert_to_DER_cert(first))
    except (ValueError, IndexError) as broken:
        raise _unfit(path, f"its first certificate cannot be read ({broken})") from broken


def not_after(der: bytes) -> datetime:
    """Return when an X.509 certificate ends (RFC 5280, 4.1: tbsCertificate, validity, notAfter). Raises ValueError or IndexError."""
    tag, fields, _ = _element(der, 0)
    _, fields, _ = _element(fields, 0)
    if tag != _SEQUENCE:
        raise ValueError("no certificate")
    at = 0
    found: list[bytes] = []
    while len(found) < 4:  # serial number, signature, issuer, validity; before them a version if there is one
        tag, value, at = _element(fields, at)
        if tag != _EXPLICIT_0:
            found.append(value)
    _, _, at = _element(found[3], 0)
    tag, value, _ = _element(found[3], at)
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(value.decode("ascii"), form).replace(tzinfo=UTC)


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Return the tag and value of a DER element, and where the next begins."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count]), start + count
    if start + length > len(data):
        raise ValueError("cut short")
    return tag, data[start : start + length], start + length
