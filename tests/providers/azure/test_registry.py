"""Azure Container Registry: the contract and what is ACR's own, over the official client and the OCI protocol against a stub of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import McmlError, NotAuthenticated, NotFound, Unavailable, Usage
from mcml.providers.api.registry import Registry
from mcml.providers.azure.registry import USER, AcrRegistry
from mcml.testing.contracts.registry import RegistryContract
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.azure.acr_stub import AcrStub
from tests.providers.azure.conftest import GivenToken, MakeSession, management_session

REPOSITORY = "models/fraud"


@pytest.fixture
def credential() -> GivenToken:
    return GivenToken()


@pytest.fixture
def acr(certificate: tuple[Path, Path], trusted: None, credential: GivenToken) -> Iterator[AcrStub]:
    with AcrStub(*certificate, credential.text) as stub:
        yield stub


def registry_at(make_session: MakeSession, host: str, credential: GivenToken, **options: Any) -> AcrRegistry:
    return AcrRegistry(management_session(make_session, "https://nowhere.example", registry=host, credential=credential, **options))


@pytest.fixture
def registry(acr: AcrStub, make_session: MakeSession, credential: GivenToken) -> AcrRegistry:
    return registry_at(make_session, acr.host, credential)


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[[int], Path]:
    def make(number: int) -> Path:
        folder = tmp_path / f"model-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_text(str(number) * 100)
        return folder

    return make


class TestContract(RegistryContract):
    @pytest.fixture
    def registry(self, registry: AcrRegistry) -> Registry:
        return registry

    @pytest.fixture
    def repository(self) -> str:
        return REPOSITORY

    @pytest.fixture
    def make_source(self, make_source: Callable[[int], Path]) -> Callable[[int], Path]:
        return make_source


def test_listings_over_more_pages(registry: AcrRegistry, make_source: Callable[[int], Path], acr: AcrStub) -> None:
    for number in range(5):
        registry.push(REPOSITORY, make_source(number), f"v{number}")
    for name in ("a", "b/c", "d"):
        registry.push(name, make_source(9), "v1")
    acr.requests.clear()
    assert len(registry.list(REPOSITORY)) == 5
    assert sum(path.endswith("/_manifests") for _, path in acr.requests) >= 3
    assert sorted({artifact.repository for artifact in registry.list()}) == ["a", "b/c", "d", REPOSITORY]


def test_a_name_alone_is_a_registry_of_the_public_cloud(make_session: MakeSession, credential: GivenToken) -> None:
    registry = registry_at(make_session, "acmeml", credential)
    assert registry._host == "acmeml.azurecr.io"
    with pytest.raises(Usage) as caught:
        registry_at(make_session, "", credential).list()
    assert "az acr list" in caught.value.next_step


def test_a_login_that_the_registry_does_not_take(
    acr: AcrStub, make_session: MakeSession, credential: GivenToken, make_source: Callable[[int], Path]
) -> None:
    registry = registry_at(make_session, acr.host, GivenToken())
    with pytest.raises(NotAuthenticated) as caught:
        registry.push(REPOSITORY, make_source(1), "v1")
    assert caught.value.message == f"cannot log in to {acr.host}"
    with pytest.raises(NotAuthenticated) as caught:
        registry.list(REPOSITORY)
    assert "az role assignment create --role AcrPull" in caught.value.next_step


def test_a_token_that_the_client_cannot_read(registry: AcrRegistry, acr: AcrStub, make_source: Callable[[int], Path]) -> None:
    """Its base64 holds a "_"; the OCI protocol's login reads it, the SDK does not."""
    acr.claims = {"sub": "???>>>~~~" * 3}
    with pytest.raises(McmlError) as caught:
        registry.push(REPOSITORY, make_source(1), "v1")
    assert acr.repositories[REPOSITORY].tags.keys() == {"v1"}
    assert caught.value.message == f"cannot log in to {acr.host}"
    assert "cannot read the token" in caught.value.why
    assert "az acr repository list" in caught.value.next_step


def test_a_client_is_not_kept_longer_than_its_token(
    acr: AcrStub, make_session: MakeSession, credential: GivenToken, make_source: Callable[[int], Path]
) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    registry = registry_at(make_session, acr.host, credential, clock=lambda: now[0])
    registry.push(REPOSITORY, make_source(1), "v1")
    first = registry._client
    assert registry._client is first
    now[0] += timedelta(hours=2)
    assert len(registry.list(REPOSITORY)) == 1
    assert registry._client is not first


def test_a_login_that_may_only_read(registry: AcrRegistry, acr: AcrStub, make_source: Callable[[int], Path]) -> None:
    acr.reads_only = True
    with pytest.raises(NotAuthenticated) as caught:
        registry.push(REPOSITORY, make_source(1), "v1")
    assert "DENIED" in caught.value.why
    assert "az role assignment create --role AcrPush" in caught.value.next_step


def test_no_secret_is_said(registry: AcrRegistry, acr: AcrStub, credential: GivenToken, make_source: Callable[[int], Path]) -> None:
    acr.reads_only = True
    with pytest.raises(NotAuthenticated) as caught:
        registry.push(REPOSITORY, make_source(1), "v1")
    said = f"{caught.value.message} {caught.value.why} {caught.value.next_step} {caught.value!r} {vars(registry)}"
    assert not [secret for secret in (credential.text, *acr.refresh) if secret in said]
    assert USER not in said


METHODS: dict[str, Callable[[AcrRegistry, Path], bool]] = {
    "resolve": lambda registry, source: registry.resolve(REPOSITORY, "v1").tags == ("v1",),
    "push": lambda registry, source: registry.push(REPOSITORY, source, "v2").tags == ("v2",),
    "tag": lambda registry, source: registry.tag(REPOSITORY, registry.list(REPOSITORY)[0].digest, "live").tags == ("live", "v1"),
    "list": lambda registry, source: len(registry.list()) == 1,
}
PASSING: dict[str, tuple[Fault, ...]] = {
    "reset": (Reset(), Reset()),
    "lost": (Reset(reaches_server=True),),
    "500": (Answer(500), Answer(502, {}, b"<html>Bad gateway</html>")),
    "429": (Answer(429, {"Retry-After": "3"}),),
    "half": (HalfBody(),),
    "slow": (Delay(3.0, reaches_server=False),),
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(
    certificate: tuple[Path, Path],
    trusted: None,
    credential: GivenToken,
    server_tls: Any,
    make_session: MakeSession,
    make_source: Callable[[int], Path],
    method: str,
    fault: str,
) -> None:
    with AcrStub(*certificate, credential.text) as acr, FaultProxy(acr.url, **server_tls) as proxy:
        acr.front = proxy.url
        patience = {"read_seconds": 0.6} if fault == "slow" else {}
        registry = registry_at(make_session, acr.host, credential, **patience)
        registry.push(REPOSITORY, make_source(1), "v1")
        proxy.script(*PASSING[fault])
        assert METHODS[method](registry, make_source(2))
        assert proxy.unused == []
        assert len(acr.repositories[REPOSITORY].manifests) == (2 if method == "push" else 1)


def test_a_registry_that_does_not_answer(make_session: MakeSession, credential: GivenToken, make_source: Callable[[int], Path]) -> None:
    registry = registry_at(make_session, "127.0.0.1:9", credential)
    with pytest.raises(Unavailable):
        registry.push(REPOSITORY, make_source(1), "v1")
    with pytest.raises(Unavailable):
        registry.list()
    with pytest.raises(NotFound):
        registry.resolve(REPOSITORY, "no tag")
