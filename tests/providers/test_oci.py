"""Pushing, finding and tagging over the OCI protocol: on our stub with each kind of login, and on the reference implementation."""

import hashlib
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, Unavailable
from mcml.core.package import folder_digest
from mcml.core.secret import Secret
from mcml.providers.oci import PACKAGE_DIGEST, Auth, Login, OciRegistry
from mcml.providers.oci_layer import pack
from mcml.providers.resilience import Budget, Policy
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Request, Reset
from mcml.testing.stubs.oci_registry import OciRegistryStub
from tests.registry_servers import docker_registry

USER, PASSWORD = "me", "oci-password-that-no-text-may-hold"
NAME = "models/fraud"
MIB = 1 << 20


@dataclass
class Waits:
    """A policy that does not sleep, and what it would have slept."""

    seconds: list[float] = field(default_factory=list)
    after: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.after()

    def policy(self, attempts: int = 5, budget: float = 60.0) -> Policy:
        return Policy(attempts, budget=Budget(budget), sleep=self.sleep, jitter=lambda: 1.0)


def login() -> Login | None:
    return Login(USER, Secret(PASSWORD))


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "data").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights" * 1000)
    (folder / "data" / "labels.txt").write_text("yes\nno\n")
    (folder / ".secret").write_text("left out")
    return folder


@pytest.fixture(params=["none", "basic", "bearer", "docker-registry"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, waits: Waits) -> Iterator[OciRegistry]:
    if request.param == "docker-registry":
        (tmp_path / "server").mkdir()
        with docker_registry(tmp_path / "server") as url:
            opened = OciRegistry(url, lambda: None, waits.policy())
            yield opened
            opened.close()
        return
    with OciRegistryStub(login=(USER, PASSWORD), challenge=request.param, page=2) as stub:
        opened = OciRegistry(stub.url, login, waits.policy())
        yield opened
        opened.close()


Open = Callable[..., OciRegistry]


@pytest.fixture
def open_on(waits: Waits) -> Iterator[Open]:
    made: list[OciRegistry] = []

    def opened(url: str, auth: Auth = login, *, attempts: int = 5, read: float = 5.0) -> OciRegistry:
        made.append(OciRegistry(url, auth, waits.policy(attempts), login="mcml doctor", timeout=(5, read)))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def test_what_is_pushed_is_found_by_tag_and_by_digest(registry: OciRegistry, source: Path) -> None:
    pushed = registry.push(NAME, source, "v1")
    assert registry.resolve(NAME, "v1") == registry.resolve(NAME, pushed.digest) == pushed
    assert pushed.digest == f"sha256:{hashlib.sha256(pushed.body).hexdigest()}"
    assert pushed.annotations == {PACKAGE_DIGEST: folder_digest(source)}
    assert registry.repositories() == [NAME]


def test_the_same_content_has_the_same_digest(registry: OciRegistry, source: Path, tmp_path: Path) -> None:
    first = registry.push(NAME, source, "v1")
    copy = tmp_path / "elsewhere"
    for path in sorted(source.rglob("*"), reverse=True):  # other order, times, permissions
        if path.is_file():
            (copy / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(source)).write_bytes(path.read_bytes())
            (copy / path.relative_to(source)).chmod(0o755)
    assert registry.push(NAME, copy, "v2") == first
    assert registry.tags(NAME) == ["v1", "v2"]


def test_a_tag_moves(registry: OciRegistry, source: Path) -> None:
    old = registry.push(NAME, source, "live")
    (source / "model.onnx").write_bytes(b"better")
    new = registry.push(NAME, source, "live")
    assert registry.resolve(NAME, "live") == new != old
    assert registry.tag(NAME, old.digest, "live") == old == registry.resolve(NAME, "live")
    assert registry.resolve(NAME, new.digest) == new


def test_lists_all_pages(registry: OciRegistry, source: Path) -> None:
    pushed = registry.push(NAME, source, "v0")
    for number in range(1, 7):
        registry.tag(NAME, pushed.digest, f"v{number}")
    for name in ("a", "b/c", "d"):
        registry.push(name, source, "v1")
    assert registry.tags(NAME) == [f"v{number}" for number in range(7)]
    assert registry.repositories() == ["a", "b/c", "d", NAME]


def test_what_is_not_there_is_not_found(registry: OciRegistry, source: Path) -> None:
    registry.push(NAME, source, "v1")
    for reference in ("v2", "sha256:" + "0" * 64, "sha256:short", "no tag"):
        with pytest.raises(NotFound):
            registry.resolve(NAME, reference)
    for calling in (
        lambda: registry.resolve("no/such", "v1"),
        lambda: registry.tags("no/such"),
        lambda: registry.tags("No Such"),
        lambda: registry.tag(NAME, "sha256:" + "0" * 64, "v3"),
        lambda: registry.push(NAME, source / "absent", "v1"),
    ):
        with pytest.raises(NotFound) as missing:
            calling()
        assert missing.value.why


def test_what_cannot_be_is_refused_before_anything_is_sent(open_on: Open, source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with OciRegistryStub() as stub:
        registry = open_on(stub.url)
        long, empty = "v" * 129, tmp_path / "empty"
        for name, folder, tag in (("Models", source, "v1"), (NAME, source, "-v1"), (NAME, source, long), (NAME, empty, "v1")):
            with pytest.raises(InvalidRequest):
                registry.push(name, folder, tag)
        assert stub.requests == []


def test_a_layer_holds_the_files_and_nothing_else(source: Path, tmp_path: Path) -> None:
    layer = pack(source, tmp_path / "layer")
    assert layer.package_digest == folder_digest(source)
    assert layer.digest == f"sha256:{hashlib.sha256(layer.path.read_bytes()).hexdigest()}"
    assert layer.size_bytes == layer.path.stat().st_size
    with tarfile.open(layer.path) as archive:
        members = [(one.name, one.size, one.mode, one.mtime, one.uid, one.uname) for one in archive.getmembers()]
        assert members == [("data/labels.txt", 7, 0o644, 0, 0, ""), ("model.onnx", 7000, 0o644, 0, 0, "")]
    one_file = pack(source / "model.onnx", tmp_path / "one")
    with tarfile.open(one_file.path) as archive:
        assert archive.getnames() == ["model.onnx"]


def test_a_file_that_shrinks_meanwhile_is_a_conflict(source: Path, tmp_path: Path) -> None:
    class Shrinking(type(source)):  # type: ignore[misc]
        """Stands for a file that somebody cuts off after its size was read."""

        def open(self, *args: object, **keys: object) -> object:
            opened = super().open(*args, **keys)
            with Path(self).open("r+b") as other:
                size = other.seek(0, 2)
                opened.seek(size - 1)
            return opened

    with pytest.raises(Conflict):
        pack(Shrinking(source / "model.onnx"), tmp_path / "layer")


def test_blobs_are_not_sent_twice(open_on: Open, source: Path) -> None:
    with OciRegistryStub() as stub:
        registry = open_on(stub.url)
        registry.push(NAME, source, "v1")
        stub.requests.clear()
        registry.push(NAME, source, "v2")
        assert [method for method, path in stub.requests if "blobs" in path] == ["HEAD", "HEAD"]


def test_large_content_is_never_held_whole(registry: OciRegistry, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "docker-registry" not in request.node.name:
        pytest.skip("the stub holds what it gets in this process's memory")
    large = tmp_path / "large"
    large.mkdir()
    (large / "model.onnx").write_bytes(hashlib.shake_256(b"noise").digest(24 * MIB))
    tracemalloc.start()
    registry.push(NAME, large, "v1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MIB


def test_one_token_serves_a_push(open_on: Open, source: Path) -> None:
    with OciRegistryStub(login=(USER, PASSWORD), challenge="bearer") as stub:
        registry = open_on(stub.url)
        registry.push(NAME, source, "v1")
        assert [path for _, path in stub.requests].count("/token") == 2  # to look, and to write
        stub.forget_logins()
        registry.tag(NAME, registry.resolve(NAME, "v1").digest, "v2")
        assert stub.tags(NAME).keys() == {"v1", "v2"}


def test_a_wrong_password_names_the_way_to_log_in(open_on: Open, source: Path) -> None:
    for challenge in ("basic", "bearer"):
        with OciRegistryStub(login=(USER, "other"), challenge=challenge) as stub:
            for auth in (login, lambda: None, lambda: Login("", Secret(PASSWORD))):
                with pytest.raises(NotAuthenticated) as refused:
                    open_on(stub.url, auth).push(NAME, source, "v1")
                assert (refused.value.why, refused.value.next_step) == ("it refuses the login", "mcml doctor")
                with pytest.raises(NotAuthenticated) as refused:
                    open_on(stub.url, auth).resolve(NAME, "v1")
                assert refused.value.why == "authentication required (UNAUTHORIZED)"


def test_a_password_goes_to_nobody_else(open_on: Open, source: Path) -> None:
    """A challenge may name any token endpoint, an answer any place for an upload: neither gets the password."""
    with OciRegistryStub(login=(USER, PASSWORD), challenge="bearer") as thief, OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        registry = open_on(proxy.url)
        told = {"WWW-Authenticate": f'Bearer realm="{thief.url}/token",service="stub",scope="repository:{NAME}:pull"'}
        proxy.script(Answer(401, told))
        with pytest.raises(NotAuthenticated):
            registry.resolve(NAME, "v1")
        assert thief.requests == []
        elsewhere = Answer(202, {"Location": f"{thief.url}/v2/{NAME}/blobs/uploads/1"})
        proxy.script(elsewhere, only=lambda request: request.method == "POST")
        with pytest.raises(NotAuthenticated):
            registry.push(NAME, source, "v1")
        assert [path for _, path in thief.requests if path == "/token"] == []


FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), Answer(503)],
    "unanswered": [Delay(30), Reset(reaches_server=True), Answer(500, reaches_server=True), HalfBody()],
    "misleading": [Answer(502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"), HalfBody(0.0), Reset(reaches_server=True)],
}


def pushes(registry: OciRegistry, stub: OciRegistryStub, source: Path) -> None:
    digest = registry.push(NAME, source, "new").digest
    assert stub.tags(NAME) == {"v1": digest, "new": digest}
    assert len(stub.repositories[NAME].manifests) == 1


def tags(registry: OciRegistry, stub: OciRegistryStub, source: Path) -> None:
    registry.tag(NAME, stub.tags(NAME)["v1"], "live")
    assert stub.tags(NAME)["live"] == stub.tags(NAME)["v1"]


def resolves(registry: OciRegistry, stub: OciRegistryStub, source: Path) -> None:
    assert registry.resolve(NAME, "v1").digest == stub.tags(NAME)["v1"]


def lists(registry: OciRegistry, stub: OciRegistryStub, source: Path) -> None:
    assert registry.tags(NAME) == ["v1"]
    assert registry.repositories() == [NAME]


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("does", [pushes, tags, resolves, lists])
def test_goes_on_after_faults(
    does: Callable[[OciRegistry, OciRegistryStub, Path], None], faults: str, open_on: Open, source: Path, waits: Waits
) -> None:
    with OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        open_on(stub.url).push(NAME, source, "v1")
        registry = open_on(proxy.url, attempts=9, read=0.4)
        proxy.script(*FAULTS[faults])
        does(registry, stub, source)
        assert proxy.unused == []
        if faults == "unheard":
            assert 7.0 in waits.seconds


def test_goes_on_after_a_refused_connection(open_on: Open, source: Path, waits: Waits) -> None:
    with OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        registry, waits.after = open_on(proxy.url), proxy.accept
        proxy.refuse()
        registry.push(NAME, source, "v1")
        assert waits.seconds == [0.1]


@pytest.mark.parametrize("fault", [Reset(reaches_server=True), Delay(30), Answer(500, reaches_server=True), HalfBody()])
@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
def test_a_push_whose_answers_are_lost_is_one_push(fault: Fault, method: str, open_on: Open, source: Path) -> None:
    def chosen(request: Request) -> bool:
        return request.method == method

    with OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        proxy.script(fault, only=chosen)
        pushed = open_on(proxy.url, read=0.4).push(NAME, source, "v1")
        assert stub.tags(NAME) == {"v1": pushed.digest}
        assert len(stub.repositories[NAME].blobs) == 2


def test_the_end_of_patience_is_said(open_on: Open, source: Path) -> None:
    with OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        registry = open_on(proxy.url, attempts=2, read=0.3)
        proxy.script(*[Delay(30)] * 2)
        with pytest.raises(Unavailable) as late:
            registry.push(NAME, source, "v1")
        assert f"cannot push to repository 'models/fraud' of 127.0.0.1:{proxy.port}" in late.value.message
        assert late.value.why == "timed out"


def test_damaged_answers_are_seen(open_on: Open, source: Path) -> None:
    with OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        registry = open_on(proxy.url, attempts=1)
        digest = open_on(stub.url).push(NAME, source, "v1").digest
        for body, why in ((b"{}", "damaged on the way"), (b"[]", "damaged on the way"), (b"<html>", "damaged on the way")):
            proxy.script(Answer(200, {"Content-Type": "text/html"}, body))
            with pytest.raises(Unavailable) as seen:
                registry.resolve(NAME, digest)
            assert why in seen.value.why
        proxy.script(Answer(200, {"Content-Type": "text/html"}, b"<html>sign in</html>"))
        with pytest.raises(Unavailable, match="cannot find 'v1'"):
            registry.resolve(NAME, "v1")
        proxy.script(Answer(200, {"Content-Type": "text/html"}, b"<html>sign in</html>"))
        with pytest.raises(Unavailable, match="cannot list the tags"):
            registry.tags(NAME)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "NAME_INVALID", InvalidRequest), (400, "TAG_INVALID", Conflict), (403, "DENIED", NotAuthenticated),
        (405, "UNSUPPORTED", InvalidRequest), (404, "MANIFEST_UNKNOWN", NotFound), (409, "", Conflict),
        (429, "TOOMANYREQUESTS", Unavailable), (500, "UNKNOWN", Unavailable),
    ],
)  # fmt: skip
def test_error_table(status: int, code: str, kind: type[McmlError], open_on: Open) -> None:
    body = httpx.Response(200, json={"errors": [{"code": code, "message": f"said with {PASSWORD}"}]}).content
    with OciRegistryStub() as stub, FaultProxy(stub.url) as proxy:
        proxy.script(Answer(status, {"Content-Type": "application/json"}, body))
        with pytest.raises(kind) as told:
            open_on(proxy.url, attempts=1).resolve(NAME, "v1")
        assert type(told.value) is kind
        assert "said with [hidden]" in told.value.why


def test_no_login_is_shown(open_on: Open, source: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("DEBUG")
    with OciRegistryStub(login=(USER, PASSWORD), challenge="bearer") as stub:
        registry = open_on(stub.url)
        seen = repr((registry, vars(registry), registry.push(NAME, source, "v1")))
        try:
            registry.resolve(NAME, "v9")
        except NotFound as missing:
            seen += repr((missing, missing.__cause__, missing.__context__))
        tokens = list(stub._tokens)
    assert tokens
    for secret in (PASSWORD, stub.basic().removeprefix("Basic "), *tokens):
        assert secret not in seen + caplog.text + "".join(capfd.readouterr())


def test_members_of_a_layer_are_bytes_that_any_tool_reads(registry: OciRegistry, source: Path, tmp_path: Path) -> None:
    registry.push(NAME, source, "v1")
    layer = pack(source, tmp_path / "layer").path.read_bytes()
    with tarfile.open(fileobj=BytesIO(layer), mode="r:gz") as archive:
        found = archive.extractfile("data/labels.txt")
        assert found is not None
        assert found.read() == b"yes\nno\n"
