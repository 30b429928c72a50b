"""Artifact Registry: its API as the discovery document has it, and the OCI protocol, over one state."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from mcml.core.errors import InvalidRequest, NotAuthenticated, NotFound, StillRunning, Unavailable, Usage
from mcml.providers.gcp.registry import USER, GcpRegistry, open_registry
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy
from mcml.testing.contracts.registry import RegistryContract
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, Pass, Reset
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from mcml.testing.stubs.oci_registry import OciRegistryStub
from tests.providers.gcp.conftest import PROJECT, MakeContext, MakeSession
from tests.providers.gcp.disturb import SLOW, assert_undisturbed
from tests.providers.gcp.google_stub import GoogleStub

REGION = "europe-west1"
HOME = f"projects/{PROJECT}/locations/{REGION}/repositories"
IMAGES = "artifactregistry.projects.locations.repositories"
START = datetime(2026, 1, 1, tzinfo=UTC)


class Artifacts:
    """Artifact Registry's own API over what was pushed; `page` items a page. `hidden` looks find nothing of what was just pushed."""

    def __init__(self, oci: OciRegistryStub) -> None:
        self.oci = oci
        self.page = 2
        self.hidden = 0
        self.homes = {"models": "DOCKER", "more": "DOCKER", "wheels": "PYTHON", "extra": "DOCKER"}

    def serve(self, stub: DiscoveryStub) -> None:
        stub.on(f"{IMAGES}.list", self.list_homes)
        stub.on(f"{IMAGES}.dockerImages.list", self.list_images)
        stub.on(f"{IMAGES}.dockerImages.get", self.image)
        stub.on(f"{IMAGES}.packages.tags.get", self.tag)

    def some(self, call: Call, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        start = int(call.get("pageToken") or 0)
        more = {"nextPageToken": str(start + self.page)} if start + self.page < len(items) else {}
        return {name: items[start : start + self.page], **more}

    def list_homes(self, call: Call) -> dict[str, Any]:
        return self.some(call, "repositories", [{"name": f"{HOME}/{name}", "format": kind} for name, kind in self.homes.items()])

    def images(self, home: str) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{HOME}/{home}/dockerImages/{quote(name.removeprefix(f'{PROJECT}/{home}/'), safe='')}@{digest}",
                "uri": f"{REGION}-docker.pkg.dev/{name}@{digest}",
                "tags": [tag for tag, where in held.tags.items() if where == digest],
                "imageSizeBytes": str(len(body)),
                "uploadTime": f"{held.pushed[digest]:%Y-%m-%dT%H:%M:%S.%fZ}",
                "mediaType": media,
            }
            for name, held in self.oci.repositories.items()
            for digest, (media, body) in held.manifests.items()
            if name.startswith(f"{PROJECT}/{home}/")
        ]

    def list_images(self, call: Call) -> dict[str, Any]:
        home = call["parent"].rpartition("/")[2]
        if home not in self.homes:
            raise GoogleError(404, "Requested entity was not found.")
        return self.some(call, "dockerImages", self.images(home))

    def image(self, call: Call) -> dict[str, Any]:
        found = {one["name"]: one for one in self.images(call["name"].removeprefix(HOME).split("/")[1])}
        self.hidden -= 1
        if call["name"] not in found or self.hidden >= 0:
            raise GoogleError(404, "Requested entity was not found.")
        return found[call["name"]]

    def tag(self, call: Call) -> dict[str, Any]:
        package, _, tag = call["name"].rpartition("/tags/")
        home, _, image = package.removeprefix(f"{HOME}/").partition("/packages/")
        held = self.oci.repositories.get(f"{PROJECT}/{home}/{unquote(image)}")
        if held is None or tag not in held.tags:
            raise GoogleError(404, "Requested entity was not found.")
        return {"name": call["name"], "version": f"{package}/versions/{held.tags[tag]}"}


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("artifactregistry.v1", accepts=lambda token: token in google.tokens) as standing:
        yield standing


@pytest.fixture
def oci() -> Iterator[OciRegistryStub]:
    seconds = iter(range(1_000_000))
    known = {f"{PROJECT}/{name}" for name in ("models/fraud", "models/teams/risk", "more/other")}
    with OciRegistryStub(challenge="bearer", known=known, clock=lambda: START + timedelta(seconds=next(seconds))) as standing:
        yield standing


@pytest.fixture
def artifacts(stub: DiscoveryStub, oci: OciRegistryStub) -> Artifacts:
    made = Artifacts(oci)
    made.serve(stub)
    return made


def logged_in(session: Session, oci: OciRegistryStub) -> Session:
    """The registry takes the token that the session has now."""
    session.call("log in", lambda: session.found.credentials.refresh(session.ask_for_token))
    oci.login = (USER, session.found.credentials.token)
    return session


@pytest.fixture
def registry(stub: DiscoveryStub, oci: OciRegistryStub, artifacts: Artifacts, make_session: MakeSession) -> GcpRegistry:
    return GcpRegistry(logged_in(make_session(endpoint=stub.url), oci), REGION, oci.url)


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[[int], Path]:
    def make(number: int) -> Path:
        folder = tmp_path / f"source-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "model.onnx").write_text(str(number))
        return folder

    return make


class TestContract(RegistryContract):
    @pytest.fixture
    def registry(self, stub: DiscoveryStub, oci: OciRegistryStub, artifacts: Artifacts, make_session: MakeSession) -> GcpRegistry:
        return GcpRegistry(logged_in(make_session(endpoint=stub.url), oci), REGION, oci.url)

    @pytest.fixture
    def repository(self) -> str:
        return "models/fraud"

    @pytest.fixture
    def make_source(self, make_source: Callable[[int], Path]) -> Callable[[int], Path]:
        return make_source


def test_an_image_may_have_slashes(registry: GcpRegistry, oci: OciRegistryStub, make_source: Callable[[int], Path]) -> None:
    pushed = registry.push("models/teams/risk", make_source(1), "v1")
    assert registry.resolve("models/teams/risk", "v1") == pushed
    assert list(oci.repositories) == [f"{PROJECT}/models/teams/risk"]
    assert registry.list("models/teams/risk") == [pushed]


def test_listings_of_all_pages(
    registry: GcpRegistry, stub: DiscoveryStub, make_source: Callable[[int], Path]
) -> None:
    """Three repositories of Docker format on two pages, and one of another format, which is left out."""
    for number in range(3):
        registry.push("models/fraud", make_source(number), f"v{number}")
    registry.push("models/teams/risk", make_source(9), "v1")
    last = registry.push("more/other", make_source(1), "v1")
    stub.requests.clear()
    found = registry.list()
    assert len(found) == 5
    assert found[0] == last
    assert [call["parent"].rpartition("/")[2] for call in stub.calls("dockerImages.list")] == ["models", "models", "more", "extra"]
    assert len(registry.list("models")) == 4
    assert len(registry.list("models/fraud")) == 3
    assert registry.list("nothing/here") == []


def test_what_the_api_tells_of_late(registry: GcpRegistry, artifacts: Artifacts, make_source: Callable[[int], Path]) -> None:
    artifacts.hidden = 3
    assert registry.push("models/fraud", make_source(1), "v1").tags == ("v1",)
    artifacts.hidden = 1000
    with pytest.raises(StillRunning) as late:
        registry.push("models/fraud", make_source(2), "v2")
    assert late.value.message == "cannot find what was pushed to repository 'models/fraud'"
    where = "europe-west1-docker.pkg.dev/stub-project/models/fraud"
    assert late.value.next_step == f"gcloud artifacts docker images list {where} --include-tags"


def test_a_repository_that_a_push_does_not_make(registry: GcpRegistry, make_source: Callable[[int], Path]) -> None:
    with pytest.raises(NotFound) as missing:
        registry.push("nothing/fraud", make_source(1), "v1")
    step = "gcloud artifacts repositories create nothing --repository-format=docker --location=europe-west1"
    assert missing.value.next_step == step


@pytest.mark.parametrize("name", ["models", "/x", ""])
def test_what_is_no_repository(registry: GcpRegistry, make_source: Callable[[int], Path], name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        registry.push(name, make_source(1), "v1")
    assert refused.value.why == "it is REPOSITORY/IMAGE, as in models/fraud"


def test_a_tag_that_none_can_be(registry: GcpRegistry) -> None:
    with pytest.raises(NotFound, match="cannot find 'a/b'"):
        registry.resolve("models/fraud", "a/b")


def test_without_a_region(make_session: MakeSession, oci: OciRegistryStub, make_source: Callable[[int], Path]) -> None:
    nowhere = GcpRegistry(make_session(), "", oci.url)
    digest = "sha256:" + "0" * 64
    for act in (nowhere.list, lambda: nowhere.push("a/b", make_source(1), "v1"), lambda: nowhere.tag("a/b", digest, "v1")):
        with pytest.raises(Usage, match="needs a region"):
            act()


METHODS: dict[str, Callable[[GcpRegistry, Path], object]] = {
    "resolve": lambda one, _: one.resolve("models/fraud", "v1").digest,
    "push": lambda one, source: one.push("models/fraud", source, "v2").digest,
    "tag": lambda one, _: one.tag("models/fraud", one.resolve("models/fraud", "v1").digest, "live").tags,
    "list": lambda one, _: len(one.list()),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes_on_the_way_to_the_api(
    method: str, registry: GcpRegistry, stub: DiscoveryStub, oci: OciRegistryStub, make_session: MakeSession,
    make_source: Callable[[int], Path],
) -> None:  # fmt: skip
    registry.push("models/fraud", make_source(1), "v1")
    with FaultProxy(stub.url) as proxy:
        session = logged_in(make_session(endpoint=proxy.url, timeout=2.0), oci)

        def run() -> tuple[object, object]:
            return METHODS[method](GcpRegistry(session, REGION, oci.url), make_source(2)), oci.tags(f"{PROJECT}/models/fraud")

        assert_undisturbed(proxy, session, run)


@pytest.mark.parametrize("method", ["push", "tag"])
@pytest.mark.parametrize("fault", [Reset(reaches_server=True), Answer(500), Answer(429, {"Retry-After": "3"})], ids=repr)
def test_writes_get_over_what_passes_on_the_way_to_the_registry(
    method: str, fault: Fault, registry: GcpRegistry, stub: DiscoveryStub, oci: OciRegistryStub, make_session: MakeSession,
    make_source: Callable[[int], Path],
) -> None:  # fmt: skip
    registry.push("models/fraud", make_source(1), "v1")
    oci.challenge = "basic"  # Google's token endpoint is at the registry's own host; the stub's is not at the proxy
    session = logged_in(make_session(endpoint=stub.url), oci)
    with FaultProxy(oci.url) as proxy:
        for number in range(3):
            proxy.script(*[Pass()] * number, fault)
            METHODS[method](GcpRegistry(session, REGION, proxy.url), make_source(2))
            assert proxy.unused == []
    tags = oci.tags(f"{PROJECT}/models/fraud")
    assert len(set(tags.values())) == (2 if method == "push" else 1)


def test_a_token_that_is_refused_for_good_is_in_no_message(
    registry: GcpRegistry, oci: OciRegistryStub, google: GoogleStub, make_source: Callable[[int], Path]
) -> None:
    oci.login = (USER, "another")
    with pytest.raises(NotAuthenticated) as refused:
        registry.push("models/fraud", make_source(1), "v1")
    assert refused.value.next_step == "gcloud auth application-default login"
    told = repr(refused.value) + refused.value.message + refused.value.why + repr(registry) + repr(vars(registry))
    assert [token for token in google.given if token in told] == []


def test_an_expired_token_and_a_slow_answer(
    registry: GcpRegistry, stub: DiscoveryStub, oci: OciRegistryStub, google: GoogleStub, make_session: MakeSession,
    make_source: Callable[[int], Path],
) -> None:  # fmt: skip
    registry.push("models/fraud", make_source(1), "v1")
    google.tokens.clear()
    assert len(registry.list("models/fraud")) == 1
    with FaultProxy(stub.url) as proxy:
        hurried = GcpRegistry(session := make_session(endpoint=proxy.url, timeout=0.5), REGION, oci.url)
        assert hurried.list()
        session.policy = Policy(attempts=1)
        proxy.script(SLOW)
        with pytest.raises(Unavailable) as late:
            hurried.list()
        assert late.value.why == "no answer in time"


def test_opening_needs_neither_credentials_nor_network(make_context: MakeContext) -> None:
    opened = open_registry(make_context(region=REGION, endpoint=""))
    assert isinstance(opened, GcpRegistry)
    assert opened._url == "https://europe-west1-docker.pkg.dev"
