"""One v2 body, unchanged, to a plain backend and three managed endpoints over TLS; no credential goes where it does not belong."""

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.backend import Backend
from mcml.core.credential import Credential
from mcml.core.process import free_port, port_is_taken
from mcml.core.schema_routes import Route
from mcml.route.config.values import HTTP, TYPE, address, named
from mcml.route.engine.binary import find_envoy
from tests.route.clouds import Authority, Request, four
from tests.route.rig import Answer, Rig, ask, until

BODY = json.dumps({"id": "7", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}]}).encode()
CLIENT = {
    "authorization": "Bearer client-token",
    "proxy_authorization": "client-proxy",
    "x_api_key": "sk-client",
    "cookie": "session=client-cookie",
    "x_amz_security_token": "client-amz",
    "x_amzn_sagemaker_target_variant": "client-variant",
    "azureml_model_deployment": "client-deployment",
    "azureml_version": "client-version",
    "x_goog_user_project": "client-project",
    "x_goog_api_key": "client-google-key",
    "api_key": "client-azure-key",
    "ocp_apim_subscription_key": "client-subscription",
    "x_vertex_ai_triton_redirect": "client-redirect",
    "x_http_method_override": "client-method",
    "knative_serving_tag": "client-tag",
}
ENDS = 5.0
"""Seconds in which a credential ends, by its own word: short, so that the router asks for the next one every two seconds."""

FAILURES = ("reset", "hang", "503", "500", "429", "401", "403")
PATHS = {
    "k8s": "/v2/models/fraud/infer",
    "sagemaker": "/endpoints/mcml-fraud/invocations",
    "vertex": "/v1/projects/p/locations/europe-west1/endpoints/7:rawPredict",
    "azureml": "/score",
}


class Clouds:
    """A router over four clouds, and the credentials that it is given."""

    def __init__(self, folder: Path, route: Route, *, strangers: tuple[str, ...] = ()) -> None:
        self.authority = Authority(folder / "ca")
        self.clouds = four(self.authority)
        self.strangers = strangers
        self.credentials: dict[str, Credential] = {
            name: cloud.grant(seconds=ENDS) for name, cloud in self.clouds.items() if cloud.auth != "none"
        }
        self.rig = Rig(folder / "route", [], routes={"fraud": route, "public": route.model_copy(update={"model": "fraud"})})
        other = str(Authority(folder / "other").file)
        self.rig.backends = [
            replace(cloud.backend, authorities=other) if name in strangers else cloud.backend for name, cloud in self.clouds.items()
        ]
        self.rig.setup = replace(self.rig.setup, credential=lambda backend: self.credentials[backend.target])

    def __enter__(self) -> "Clouds":
        self.rig.__enter__()
        until(lambda: self.answering() == set(self.clouds) - set(self.strangers), 20, "not every cloud is asked")
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.__exit__()
        for cloud in self.clouds.values():
            cloud.close()

    def answering(self) -> set[str]:
        return {self.rig.infer(body=BODY).backend.removeprefix("fraud@") for _ in range(12)}

    def requests(self) -> dict[str, list[Request]]:
        """Every attempt so far, in order of arrival within a cloud, by request id."""
        found: dict[str, list[Request]] = {}
        for cloud in self.clouds.values():
            for request in list(cloud.seen):
                found.setdefault(request.id, []).append(request)
        return found

    def transitions(self) -> set[tuple[str, str, str]]:
        """Which backend was tried after which, and how the first one had failed."""
        found = [sorted(attempts, key=lambda one: one.at) for attempts in self.requests().values()]
        return {(one.cloud, one.mood, other.cloud) for attempts in found for one, other in itertools.pairwise(attempts)}

    def uses_newest(self, name: str) -> bool:
        newest = self.clouds[name].accepted[-1]
        text = newest if isinstance(newest, str) else newest[0]
        return any(text in one.head for one in self.clouds[name].seen[-50:])

    def infer(self, route: str = "fraud") -> Answer:
        return self.rig.infer(route, BODY, **CLIENT)

    def those_that_reached(self, name: str) -> list[Answer]:
        """Send requests until one has been to a cloud, and return its answer."""
        mark, end = len(self.clouds[name].seen), time.monotonic() + 60
        while time.monotonic() < end:
            answer = self.infer()
            if len(self.clouds[name].seen) > mark:
                return [answer]
        raise AssertionError(f"{name} is never asked")

    def check(self) -> int:
        """Check every request that ever arrived anywhere; return how many there were."""
        own = {name: cloud.secrets() for name, cloud in self.clouds.items()}
        count = 0
        for name, cloud in self.clouds.items():
            foreign = {secret for other, secrets in own.items() if other != name for secret in secrets}
            for request in list(cloud.seen):
                count += 1
                assert not [secret for secret in foreign if secret in request.head], (name, request.head)
                assert "client" not in request.head, (name, request.head)
                assert request.path == PATHS[name]
                assert request.get("host") == (f"127.0.0.1:{cloud.port}" if name == "k8s" else cloud.host)
                assert request.body == BODY
                assert cloud.admits(request), (name, request.head)
                expected = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amzn-sagemaker-target-variant"}
                found = {key for key, _ in request.headers if key.startswith("x-amz")}
                assert found == (expected if name == "sagemaker" else set())
                assert request.get("azureml-model-deployment") == ("one" if name == "azureml" else "")
                assert len([key for key, _ in request.headers if key == "authorization"]) == (0 if name == "k8s" else 1)
        return count


class Load:
    """Clients that send requests, one after the other, while the block runs."""

    def __init__(self, clouds: Clouds, count: int) -> None:
        self.clouds = clouds
        self.done = threading.Event()
        self.answers: list[Answer] = []
        self.threads = [threading.Thread(target=self._drive) for _ in range(count)]

    def _drive(self) -> None:
        while not self.done.is_set():
            self.answers.append(self.clouds.infer())

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """A router that the tests of this file share; each leaves every cloud in good health."""
    with Clouds(tmp_path_factory.mktemp("clouds"), Route(per_try_timeout=0.4)) as running:
        yield running


def test_each_gets_the_same_body_at_its_own_path_with_its_own_credential(clouds: Clouds) -> None:
    for route in ("fraud", "public"):
        answers = [clouds.infer(route) for _ in range(24)]
        assert {answer.status for answer in answers} == {200}
        assert {answer.headers["x-mcml-version"] for answer in answers} == {"1"}
    assert clouds.check() >= 48


def test_what_is_not_inference_goes_to_those_that_speak_the_whole_protocol(clouds: Clouds) -> None:
    """Here all three managed ones take inference only."""
    port = clouds.rig.running.port
    answers = [ask(port, f"/v2/models/fraud{rest}") for rest in ("", "/ready", "/versions/1") for _ in range(6)]
    assert {(answer.status, answer.json["at"]) for answer in answers} == {(200, "k8s")}


def test_a_large_body_is_signed_as_a_whole(clouds: Clouds) -> None:
    """Far above what Envoy keeps for a filter by itself."""
    sagemaker, body = clouds.clouds["sagemaker"], b"7" * (20 * 1024 * 1024)
    mark = {name: len(cloud.seen) for name, cloud in clouds.clouds.items()}
    until(lambda: clouds.rig.infer(body=body).backend == "fraud@sagemaker", 60, "it is never asked")
    last = sagemaker.seen[-1]
    assert last.body == body
    assert sagemaker.admits(last)
    for name, cloud in clouds.clouds.items():
        del cloud.seen[mark[name] :]


def test_what_the_model_itself_answered_counts(clouds: Clouds) -> None:
    """SageMaker wraps it in a 424; a refused request stays a refused request, a failed one is tried elsewhere."""
    sagemaker = clouds.clouds["sagemaker"]
    try:
        sagemaker.mode = "model-400"
        assert {answer.status for answer in clouds.those_that_reached("sagemaker")} == {400}
        sagemaker.mode = "model-503"
        assert {answer.status for answer in clouds.those_that_reached("sagemaker")} == {200}
    finally:
        sagemaker.mode = "ok"


def test_the_secrets_are_in_their_own_files_and_nowhere_else(clouds: Clouds) -> None:
    """Every file of the router, every argument and environment of its processes, everything it said and put into the journal."""
    secrets = {secret.encode() for cloud in clouds.clouds.values() for secret in cloud.secrets()} | {b"client-token", b"sk-client"}
    rig = clouds.rig
    assert rig.infer(body=BODY, **CLIENT).status == 200
    holding = {path for path in rig.folder.rglob("*") if path.is_file() and any(secret in path.read_bytes() for secret in secrets)}
    assert {path.relative_to(rig.folder / "credentials").as_posix() for path in holding} == {
        "fraud@sagemaker/keys", "fraud@vertex/bearer.json", "fraud@azureml/bearer.json",
    }  # fmt: skip
    assert {oct(path.stat().st_mode & 0o777) for path in holding} == {"0o600"}
    assert {oct(path.parent.stat().st_mode & 0o777) for path in holding} == {"0o700"}
    engine = json.loads((rig.folder / "engine.json").read_text())
    said = [Path(f"/proc/{engine['pid']}/{name}").read_bytes() for name in ("cmdline", "environ")]
    said += [ask(rig.running.admin_port, path).body for path in ("/config_dump", "/clusters", "/stats")]
    said += ["\n".join(rig.told.lines).encode(), repr(rig.facts).encode(), repr(clouds.credentials).encode()]
    assert not [secret for secret in secrets for text in said if secret in text]


def test_the_status_says_how_old_a_credential_is_and_not_what_it_is(clouds: Clouds) -> None:
    row = until(lambda: clouds.rig.status("vertex"), 5, "no status")
    assert (row["auth"], row["credential"]["failing"]) == ("bearer", "")
    assert row["credential"]["since"] <= row["credential"]["expires"]
    assert (clouds.rig.status("k8s")["auth"], clouds.rig.status("k8s")["credential"]) == ("none", None)


@pytest.mark.slow
def test_no_credential_reaches_another_cloud_on_any_retry(clouds: Clouds) -> None:
    """Every failing backend and every one that is tried after it, for every failure; requests are tried up to four times."""
    wanted = {(first, mood, second) for first in PATHS for second in PATHS if first != second for mood in FAILURES}
    wanted = {one for one in wanted if one[0] != "k8s" or one[1] not in ("401", "403")}  # of a plain backend that is its own answer
    for cloud in clouds.clouds.values():
        cloud.moods = FAILURES
    try:
        with Load(clouds, 4):
            until(lambda: wanted <= clouds.transitions(), 90, "not every combination was seen")
    finally:
        for cloud in clouds.clouds.values():
            cloud.moods = ()
    attempts = [len(found) for found in clouds.requests().values()]
    print(f"{clouds.check()} requests checked, {sum(one > 1 for one in attempts)} tried again, up to {max(attempts)} attempts")
    assert max(attempts) >= 3


@pytest.mark.slow
def test_credentials_change_under_load_without_an_error(clouds: Clouds) -> None:
    """Five rotations of three credentials; each is there at once, and no request is refused."""
    with Load(clouds, 4) as load:
        for number in range(2, 7):
            for name in clouds.credentials:
                clouds.credentials[name] = clouds.clouds[name].grant(number, only=False, seconds=ENDS)
            for name in clouds.credentials:
                until(lambda name=name: clouds.uses_newest(name), 20, f"{name} never saw its credential {number}")  # type: ignore[misc]
    answers = load.answers
    assert {answer.status for answer in answers} == {200}
    assert len(clouds.rig.told_of("route.credential_renewed", "sagemaker")) >= 4
    clouds.check()
    print(f"{len(answers)} requests over 5 rotations of 3 credentials, 0 failed")


def test_a_backend_that_refuses_our_credential_is_left_for_another(tmp_path: Path) -> None:
    """Expired, and the provider has no new one: the client notices nothing, the backend goes out, and comes back with a new credential."""
    with Clouds(tmp_path, Route()) as clouds:
        vertex = clouds.clouds["vertex"]
        vertex.accepted.clear()
        answers = [clouds.infer() for _ in range(60)]
        assert {answer.status for answer in answers} == {200}
        assert "fraud@vertex" not in {answer.backend for answer in answers}
        clouds.rig.fact("route.backend_down", "vertex")
        clouds.credentials["vertex"] = vertex.grant(2)
        _, renewed = clouds.rig.fact("route.credential_renewed", "vertex", within=20)
        assert renewed.facts["backend"] == "fraud@vertex"
        until(lambda: clouds.infer().backend == "fraud@vertex", 30, "it gets no requests again")


def test_a_stranger_with_another_certificate_gets_nothing(tmp_path: Path) -> None:
    """Not a byte of a request, so no credential: the connection ends before."""
    with Clouds(tmp_path, Route(), strangers=("vertex",)) as clouds:
        answers = [clouds.infer() for _ in range(30)]
        assert {answer.status for answer in answers} == {200}
        clouds.rig.fact("route.backend_down", "vertex")
        assert clouds.clouds["vertex"].seen == []
    assert not (clouds.rig.folder / "credentials").exists()


def test_http2_is_spoken_where_it_is_offered(tmp_path: Path) -> None:
    """Another Envoy is the backend: it says by which protocol a request came."""
    authority = Authority(tmp_path / "ca")
    certificate = {"filename": str(authority.certificate("h2.example.com"))}
    offered = {"tls_certificates": [{"certificate_chain": certificate, "private_key": certificate}], "alpn_protocols": ["h2", "http/1.1"]}
    said = [{"header": {"key": "x-spoken", "value": "%PROTOCOL%"}}]
    direct = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": said}
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [direct]}]},
        "http_filters": [named("router", {"@type": TYPE + f"{HTTP}.router.v3.Router"})],
    }
    tls = {"@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": offered}
    chain = {"transport_socket": named("tls", tls), "filters": [named("manager", manager)]}
    port = free_port()
    listener = {"name": "x", "address": address("127.0.0.1", port), "filter_chains": [chain]}
    (tmp_path / "h2.json").write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    argv = [str(find_envoy()), "-c", str(tmp_path / "h2.json"), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
    with subprocess.Popen(argv) as backend:
        try:
            until(lambda: port_is_taken(port), 20, "the backend does not start")
            rig = Rig(tmp_path / "route", [])
            rig.backends = [
                Backend("h2", "fraud", "h2.example.com", 443, "x", "x", tls=True, authorities=str(authority.file), via=port)
            ]
            with rig:
                until(lambda: rig.infer(body=BODY).status == 200, 20, "it is never asked")
                assert rig.infer(body=BODY).headers["x-spoken"] == "HTTP/2"
                time.sleep(2.5)  # four health checks, which speak the older version
                assert rig.status("h2")["state"] == "up"
                assert rig.told_of("route.backend_down") == []
        finally:
            backend.kill()
