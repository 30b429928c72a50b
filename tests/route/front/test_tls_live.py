"""HTTPS on a real Envoy: versions, protocols, clients' certificates, renewal without a lost request, and what is broken stays outside."""

import http.client
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcml.core.errors import Usage
from mcml.core.schema_routes import Router, Tls
from mcml.route.drill.load import Request, run_load, tls_context
from tests.route.authority import Authority
from tests.route.rig import Rig, Upstream, until


@dataclass
class Served:
    rig: Rig
    authority: Authority
    folder: Path

    def client(self, *, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def ask(self, context: ssl.SSLContext) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", self.rig.running.port, context=context, timeout=30)
        try:
            connection.request("POST", "/v2/models/fraud/infer", b"{}")
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def serial(self) -> str:
        with (
            socket.create_connection(("127.0.0.1", self.rig.running.port), timeout=30) as plain,
            self.client().wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return str((secure.getpeercert() or {})["serialNumber"])

    def install(self, files: tuple[Path, Path]) -> None:
        for found, name in zip(files, ("router.pem", "router.key"), strict=True):
            shutil.copy(found, self.folder / f".{name}")
            (self.folder / f".{name}").replace(self.folder / name)

    def told(self, words: str) -> str:
        return until(lambda: next((line for line in self.rig.told.lines if words in line), ""), 20, f"nobody says {words!r}")


def _serve(folder: Path, authority: Authority, tls: Tls) -> Rig:
    return Rig(folder / "route", [Upstream(target) for target in ("eu-1", "eu-2")], router=Router(port=0, tls=tls))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    authority = Authority(tmp_path / "authority")
    tls = Tls(certificate=str(tmp_path / "router.pem"), key=str(tmp_path / "router.key"))
    served = Served(_serve(tmp_path, authority, tls), authority, tmp_path)
    served.install(authority.issue("first"))
    with served.rig:
        yield served


@pytest.mark.slow
def test_https_speaks_tls_1_2_and_1_3_and_both_versions_of_http(served: Served) -> None:
    assert served.ask(served.client()) == 200
    old = served.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert served.ask(old) == 200
    too_old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    too_old.check_hostname, too_old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning):
        too_old.minimum_version = ssl.TLSVersion.TLSv1
        too_old.maximum_version = ssl.TLSVersion.TLSv1_1
    too_old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.ask(too_old)
    for offered in (["h2", "http/1.1"], ["http/1.1"]):
        assert _negotiated(served, offered) == offered[0]
    plain = http.client.HTTPConnection("127.0.0.1", served.rig.running.port, timeout=10)
    plain.request("GET", "/v2")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.getresponse()
    plain.close()
    assert served.rig.running.url.startswith("https://")


def _negotiated(served: Served, offered: list[str]) -> str | None:
    context = served.client()
    context.set_alpn_protocols(offered)
    with (
        socket.create_connection(("127.0.0.1", served.rig.running.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.selected_alpn_protocol()


@pytest.mark.slow
def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(served: Served) -> None:
    first = served.serial()
    stop, failures = threading.Event(), []

    def pester() -> None:
        context = served.client()
        while not stop.is_set():
            try:
                if served.ask(context) != 200:
                    failures.append("status")
            except OSError as failed:
                failures.append(str(failed))

    thread = threading.Thread(target=pester)
    thread.start()
    half = (served.folder / "router.pem").read_text()[:400]
    (served.folder / "router.pem").write_text(half)
    said = served.told("no whole certificate")
    assert "router.pem" in said
    assert "the listener stays as it is" in said
    assert "router.pem" in str(served.rig.fact("route.certificate_refused")[1].facts["reason"])
    assert served.serial() == first
    served.install(served.authority.issue("second"))
    until(lambda: served.serial() != first, 20, "the new certificate is not shown")
    served.rig.fact("route.certificate_renewed")
    stop.set()
    thread.join()
    assert failures == []


@pytest.mark.slow
def test_one_that_is_about_to_end_is_said(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    tls = Tls(certificate=str(tmp_path / "router.pem"), key=str(tmp_path / "router.key"))
    served = Served(_serve(tmp_path, authority, tls), authority, tmp_path)
    served.install(authority.issue("brief", days=3))
    with served.rig as rig:
        served.told("the certificate of the router ends")
        assert rig.fact("route.certificate_ends")[1].facts["ends"]
        served.install(authority.issue("long", days=90))
        served.told("the certificate was renewed")


@pytest.mark.slow
def test_clients_need_a_certificate_of_the_right_authority(tmp_path: Path) -> None:
    authority, strangers = Authority(tmp_path / "authority"), Authority(tmp_path / "strangers", "strangers")
    tls = Tls(certificate=str(tmp_path / "router.pem"), key=str(tmp_path / "router.key"), client_ca=str(authority.certificate))
    served = Served(_serve(tmp_path, authority, tls), authority, tmp_path)
    served.install(authority.issue("server"))
    one_of_ours, stranger = authority.issue("client"), strangers.issue("stranger")
    with served.rig:
        assert served.ask(served.client(certificate=one_of_ours)) == 200
        for context in (served.client(), served.client(certificate=stranger)):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                served.ask(context)
        port, authority_file = served.rig.running.port, str(authority.certificate)
        for identity, statuses in ((one_of_ours, {200}), (stranger, {0}), (None, {0})):  # as `mcml route drill --cert --key` asks
            shown = (str(identity[0]), str(identity[1])) if identity else None
            load = Request("127.0.0.1", port, "/v2/models/fraud/infer", b"{}", authority=authority_file, identity=shown)
            assert {one.status for one in run_load(load, requests=4, concurrency=2)} == statuses
        with pytest.raises(Usage, match="the client certificate cannot be used"):
            tls_context(authority_file, (str(one_of_ours[0]), str(stranger[1])))
        keys = [path for path in served.rig.folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
        assert {(path.name, path.stat().st_mode & 0o777) for path in keys} == {("sds.json", 0o600)}


def test_a_router_does_not_start_with_a_broken_certificate(tmp_path: Path) -> None:
    tls = Tls(certificate=str(tmp_path / "none.pem"), key=str(tmp_path / "none.key"))
    rig = _serve(tmp_path, Authority(tmp_path / "authority"), tls)
    with pytest.raises(Usage, match=r"none\.pem"), rig:
        pass
