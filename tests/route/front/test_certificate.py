"""What is taken for a certificate, and what is refused with the file and the reason."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.clock import utc_now
from mcml.core.errors import Usage
from mcml.core.schema_routes import Tls
from mcml.route.front.certificate import not_after, read_certificate
from tests.route.authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls(certificate: Path, key: Path, client_ca: Path | str = "") -> Tls:
    return Tls(certificate=str(certificate), key=str(key), client_ca=str(client_ca))


def test_a_good_one_is_read_with_its_end(authority: Authority) -> None:
    certificate, key = authority.issue("good", days=10)
    found = read_certificate(tls(certificate, key, authority.certificate))
    assert abs(found.ends - utc_now() - timedelta(days=10)) < timedelta(minutes=5)
    assert found.identity.certificate == certificate.read_text()
    assert found.identity.client_ca == authority.certificate.read_text()
    assert key.read_text() not in repr(found)


def test_the_end_of_a_chain_is_that_of_its_first(authority: Authority) -> None:
    certificate, key = authority.issue("chained", days=5)
    certificate.write_text(certificate.read_text() + authority.certificate.read_text())
    assert read_certificate(tls(certificate, key)).ends - utc_now() < timedelta(days=6)


def test_what_is_refused_names_the_file_and_the_reason(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("one")
    _, other = authority.issue("other")
    half, empty, absent = tmp_path / "half.pem", tmp_path / "empty.pem", tmp_path / "absent.pem"
    half.write_text(certificate.read_text()[:300])
    empty.write_text("")
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqG\n-----END ENCRYPTED PRIVATE KEY-----\n")
    for files, named, reason in (
        (tls(half, key), half, "no whole certificate"),
        (tls(empty, key), empty, "no whole certificate"),
        (tls(absent, key), absent, "No such file"),
        (tls(certificate, other), other, "it is not the key of"),
        (tls(certificate, empty), empty, "no whole PEM"),
        (tls(certificate, encrypted), encrypted, "no whole PEM"),
        (tls(certificate, key, empty), empty, "no whole PEM"),
    ):
        with pytest.raises(Usage) as refused:
            read_certificate(files)
        assert str(named) in refused.value.message
        assert reason in refused.value.why


@given(st.binary(max_size=200))
def test_anything_else_is_no_certificate(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        not_after(data)
