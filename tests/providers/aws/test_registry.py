"""The registry on a stub of ECR: its API by the SDK's model, its images in an OCI registry that checks what is pushed."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.registry import Registry
from mcml.providers.aws.registry import EcrRegistry, open_registry
from mcml.testing.contracts.registry import RegistryContract
from mcml.testing.stubs.aws_ecr import EcrStub
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, MakeContext, MakeSession, Waits

NAME = "models/fraud"
Open = Callable[..., EcrRegistry]


class Ticks:
    """A clock that goes on by a second with every look, from now."""

    def __init__(self) -> None:
        self.now = utc_now().replace(microsecond=0)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def aws() -> Iterator[AwsModel]:
    with AwsModel("ecr") as served:
        yield served


@pytest.fixture
def ecr(aws: AwsModel) -> Iterator[EcrStub]:
    with EcrStub(aws, clock=Ticks()) as served:
        yield served


@pytest.fixture
def open_on(make_session: MakeSession, aws: AwsModel, ecr: EcrStub) -> Iterator[Open]:
    made: list[EcrRegistry] = []

    def opened(url: str = aws.url, *, timeout: tuple[float, float] = (5, 5), attempts: int = 9) -> EcrRegistry:
        made.append(EcrRegistry(make_session(endpoint_url=url, timeout=timeout, attempts=attempts), page=2))
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[[int], Path]:
    def make(number: int) -> Path:
        folder = tmp_path / f"source-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "model.onnx").write_bytes(b"weights" * number)
        return folder

    return make


class TestRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, open_on: Open) -> Registry:
        return open_on()

    @pytest.fixture
    def repository(self) -> str:
        return NAME

    @pytest.fixture
    def make_source(self, make_source: Callable[[int], Path]) -> Callable[[int], Path]:
        return make_source


def test_opens_without_a_network(make_context: MakeContext) -> None:
    assert open_registry(make_context(endpoint_url="http://127.0.0.1:9")) is not None


def test_listings_come_in_pages(open_on: Open, aws: AwsModel, make_source: Callable[[int], Path]) -> None:
    registry = open_on()
    for number in range(5):
        registry.push(NAME, make_source(number), f"v{number}")
    for name in ("aa", "b/c"):
        registry.push(name, make_source(1), "v1")
    assert [artifact.tags for artifact in registry.list(NAME)] == [(f"v{number}",) for number in (4, 3, 2, 1, 0)]
    assert [artifact.repository for artifact in registry.list()] == ["b/c", "aa", *[NAME] * 5]
    assert len(aws.requests("ecr", "GetAuthorizationToken")) == 1
    created = aws.requests("ecr", "CreateRepository")
    assert [(one["repositoryName"], one["tags"]) for one in created] == [
        (name, [{"Key": "managed-by", "Value": "mcml"}]) for name in (NAME, "aa", "b/c")
    ]


def test_an_image_whose_size_amazon_does_not_tell(make_session: MakeSession) -> None:
    """The size is no required field of the answer."""
    told = {"imageDigest": f"sha256:{'0' * 64}", "imagePushedAt": utc_now()}
    with AwsModel("ecr") as aws:
        aws.on("ecr", "DescribeImages", {"imageDetails": [told]})
        assert EcrRegistry(make_session(endpoint_url=aws.url)).resolve("models/fraud", "v1").size_bytes == 0


def test_a_login_that_ends_soon_is_renewed(
    make_session: MakeSession, aws: AwsModel, ecr: EcrStub, make_source: Callable[[int], Path]
) -> None:
    now = [utc_now()]
    ecr.clock = lambda: now[0]
    registry = EcrRegistry(make_session(endpoint_url=aws.url, clock=lambda: now[0]))
    registry.push(NAME, make_source(1), "v1")
    now[0] += timedelta(hours=11, minutes=55)
    registry.push(NAME, make_source(2), "v2")
    assert len(aws.requests("ecr", "GetAuthorizationToken")) == 2
    registry.close()


def test_names_that_cannot_be(open_on: Open, make_source: Callable[[int], Path], aws: AwsModel) -> None:
    registry = open_on()
    for repository, reference in (("Models", "v1"), (NAME, "-"), (NAME, "sha256:12")):
        with pytest.raises(NotFound):
            registry.resolve(repository, reference)
    with pytest.raises(InvalidRequest):
        registry.push("Models", make_source(1), "v1")
    assert aws.requests("ecr", "CreateRepository") == []


def error(status: int, code: str, message: str = "said") -> Answer:
    return Answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": code, "message": message}).encode())


FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), error(400, "ThrottlingException"), error(500, "ServerException")],
    "unanswered": [Delay(30), HalfBody(), Reset(reaches_server=True)],
    "misleading": [Answer(500, reaches_server=True), HalfBody(0.0), Answer(502, {"Content-Type": "text/html"}, b"<html>")],
}


def resolves(registry: EcrRegistry, source: Path) -> None:
    assert registry.resolve(NAME, "v1").tags == ("v1",)


def pushes(registry: EcrRegistry, source: Path) -> None:
    assert registry.push("other", source, "v1").tags == ("v1",)
    assert len(registry.list("other")) == 1


def tags(registry: EcrRegistry, source: Path) -> None:
    assert registry.tag(NAME, registry.resolve(NAME, "v1").digest, "live").tags == ("live", "v1")


def lists(registry: EcrRegistry, source: Path) -> None:
    assert [artifact.tags for artifact in registry.list()] == [("v1",)]


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("does", [resolves, pushes, tags, lists])
def test_goes_on_after_faults(
    does: Callable[[EcrRegistry, Path], None], faults: str, open_on: Open, aws: AwsModel, waits: Waits, make_source: Callable[[int], Path]
) -> None:
    """Of ECR's own API; those of the OCI side are in tests/providers/test_oci.py."""
    open_on().push(NAME, make_source(1), "v1")
    with FaultProxy(aws.url) as proxy:
        registry = open_on(proxy.url, timeout=(5, 0.5))
        proxy.script(*FAULTS[faults])
        does(registry, make_source(2))
        assert proxy.unused == []
    assert faults != "unheard" or 7.0 in waits.seconds


def test_a_repository_whose_making_was_not_answered_is_one(open_on: Open, aws: AwsModel, make_source: Callable[[int], Path]) -> None:
    with FaultProxy(aws.url) as proxy:
        proxy.script(Answer(500, reaches_server=True), only=lambda request: request.headers["X-Amz-Target"].endswith("CreateRepository"))
        assert open_on(proxy.url).push(NAME, make_source(1), "v1").tags == ("v1",)
        assert proxy.unused == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "LimitExceededException", "too many repositories"), QuotaExceeded),
        (error(400, "AccessDeniedException", "is not authorized to perform: ecr:GetAuthorizationToken"), NotAuthenticated),
        (error(400, "ExpiredTokenException", "The security token included in the request is expired"), NotAuthenticated),
        (error(400, "InvalidParameterException", "wrong"), InvalidRequest),
        (error(500, "ServerException"), Unavailable),
    ],
)  # fmt: skip
def test_error_table(
    answer: Answer, kind: type[McmlError], open_on: Open, aws: AwsModel, make_source: Callable[[int], Path]
) -> None:
    with FaultProxy(aws.url) as proxy:
        proxy.script(answer)
        with pytest.raises(kind) as told:
            open_on(proxy.url, attempts=1).push(NAME, make_source(1), "v1")
        assert told.value.message == "cannot log in to the registry"
        said = error(400, "InvalidSignatureException", "Signature expired")
        proxy.script(Answer(400, {**said.headers, "Date": "Wed, 01 Jan 2020 00:00:00 GMT"}, said.body))
        with pytest.raises(NotAuthenticated) as wrong:
            open_on(proxy.url, attempts=1).list(NAME)
        assert "ahead of that of AWS" in wrong.value.why


def test_no_credential_is_shown(
    open_on: Open, aws: AwsModel, ecr: EcrStub, make_source: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with FaultProxy(aws.url) as proxy:
        registry = open_on(proxy.url, attempts=1)
        seen = [repr(registry), repr(registry.push(NAME, make_source(1), "v1")), repr(vars(registry))]
        ecr.oci.login = ("AWS", "another")
        wrong = error(400, "SignatureDoesNotMatch", f"{KEY_ID} {SECRET}")
        for fault in (None, error(400, "ExpiredTokenException", f"expired {TOKEN}"), wrong):
            proxy.script(*[fault] if fault else [])
            with pytest.raises(McmlError) as failed:
                registry.push(NAME, make_source(2), "v2") if fault is None else registry.list()
            seen += ["".join(traceback.format_exception(failed.value)), failed.value.why, failed.value.next_step]
    assert isinstance(failed.value, NotAuthenticated)
    for secret in (*CREDENTIALS, ecr.password):
        assert secret not in "\n".join(seen) + caplog.text
