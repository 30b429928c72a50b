"""The stub keeps to the specification: the same requests get the same answers from it and from the reference implementation."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mcml.testing.stubs.oci_registry import OciRegistryStub
from tests.registry_servers import docker_registry

OCI = "application/vnd.oci.image.manifest.v1+json"
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture(params=["stub", "docker-registry"])
def http(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    server = OciRegistryStub() if request.param == "stub" else None
    if server is not None:
        with server, httpx.Client(base_url=server.url) as client:
            yield client
        return
    with docker_registry(tmp_path) as url, httpx.Client(base_url=url) as client:
        yield client


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def begin(http: httpx.Client) -> httpx.URL:
    answer = http.post("/v2/a/b/blobs/uploads/")
    assert answer.status_code == 202
    return answer.url.join(answer.headers["Location"])


def put_blob(http: httpx.Client, content: bytes) -> dict[str, Any]:
    where = begin(http).copy_merge_params({"digest": digest(content)})
    answer = http.put(where, content=content, headers=BYTES)
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, digest(content))
    return {"mediaType": "application/octet-stream", "digest": digest(content), "size": len(content)}


def put_manifest(http: httpx.Client, tag: str, *layers: dict[str, Any], media: str = OCI) -> httpx.Response:
    config = put_blob(http, b"{}")
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": list(layers)})
    return http.put(f"/v2/a/b/manifests/{tag}", content=body, headers={"Content-Type": media})


def code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["code"])


def test_a_blob_in_one_put(http: httpx.Client) -> None:
    put_blob(http, b"whole")
    where = f"/v2/a/b/blobs/{digest(b'whole')}"
    assert http.get(where).content == b"whole"
    assert (http.head(where).status_code, http.head(where).headers["Content-Length"]) == (200, "5")
    assert code(http.get(f"/v2/a/b/blobs/{digest(b'other')}")) == "BLOB_UNKNOWN"


def test_a_blob_in_pieces(http: httpx.Client) -> None:
    where = begin(http)
    for start, piece in ((0, b"first "), (6, b"second")):
        told = {**BYTES, "Content-Range": f"{start}-{start + len(piece) - 1}"}
        answer = http.patch(where, content=piece, headers=told)
        assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{start + len(piece) - 1}")
        where = answer.url.join(answer.headers["Location"])
    answer = http.put(where.copy_merge_params({"digest": digest(b"first second")}))
    assert answer.status_code == 201
    assert http.get(f"/v2/a/b/blobs/{digest(b'first second')}").content == b"first second"


def test_a_wrong_digest_is_refused(http: httpx.Client) -> None:
    answer = http.put(begin(http).copy_merge_params({"digest": digest(b"other")}), content=b"this", headers=BYTES)
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert http.head(f"/v2/a/b/blobs/{digest(b'other')}").status_code == 404


def test_a_manifest_by_tag_and_by_digest(http: httpx.Client) -> None:
    answer = put_manifest(http, "v1", put_blob(http, b"layer"))
    assert answer.status_code == 201
    named = answer.headers["Docker-Content-Digest"]
    for reference in ("v1", named):
        found = http.get(f"/v2/a/b/manifests/{reference}", headers={"Accept": OCI})
        assert (found.status_code, found.headers["Content-Type"], found.headers["Docker-Content-Digest"]) == (200, OCI, named)
        assert digest(found.content) == named
    assert code(http.get("/v2/a/b/manifests/v2", headers={"Accept": OCI})) == "MANIFEST_UNKNOWN"
    assert http.get("/v2/a/other/manifests/v1", headers={"Accept": OCI}).status_code == 404


def test_a_manifest_of_what_is_not_there_is_refused(http: httpx.Client) -> None:
    ghost = {"mediaType": "application/octet-stream", "digest": digest(b"ghost"), "size": 5}
    answer = put_manifest(http, "v1", ghost)
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_a_manifest_of_another_kind_is_refused(http: httpx.Client) -> None:
    answer = put_manifest(http, "v1", media="application/json")
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


def test_a_tag_moves(http: httpx.Client) -> None:
    first = put_manifest(http, "live", put_blob(http, b"one")).headers["Docker-Content-Digest"]
    second = put_manifest(http, "live", put_blob(http, b"two")).headers["Docker-Content-Digest"]
    assert first != second
    assert http.head("/v2/a/b/manifests/live", headers={"Accept": OCI}).headers["Docker-Content-Digest"] == second
    assert http.head(f"/v2/a/b/manifests/{first}", headers={"Accept": OCI}).status_code == 200


def test_listings(http: httpx.Client) -> None:
    for number in range(5):
        put_manifest(http, f"v{number}")
    assert sorted(http.get("/v2/a/b/tags/list").json()["tags"]) == [f"v{number}" for number in range(5)]
    assert http.get("/v2/_catalog?n=10").json() == {"repositories": ["a/b"]}
    assert code(http.get("/v2/no/such/tags/list")) == "NAME_UNKNOWN"


def test_a_piece_out_of_order_is_refused() -> None:
    """By the specification; the reference implementation (2.8) lets it pass."""
    with OciRegistryStub() as stub, httpx.Client(base_url=stub.url) as http:
        answer = http.patch(begin(http), content=b"x", headers={**BYTES, "Content-Range": "3-3"})
        assert (answer.status_code, code(answer)) == (416, "BLOB_UPLOAD_INVALID")


def test_pages_of_the_stub() -> None:
    """Debian's reference implementation (2.8) answers all tags at once: only the stub can be asked for pages."""
    with OciRegistryStub(page=2) as stub, httpx.Client(base_url=stub.url) as http:
        for number in range(5):
            put_manifest(http, f"v{number}")
        first = http.get("/v2/a/b/tags/list")
        assert (first.json()["tags"], first.headers["Link"]) == (["v0", "v1"], '</v2/a/b/tags/list?last=v1>; rel="next"')
        last = http.get("/v2/a/b/tags/list?n=2&last=v3")
        assert (last.json()["tags"], "Link" in last.headers) == (["v4"], False)
        assert http.get("/v2/a/b/tags/list?n=many").status_code == 400


def test_basic_login_of_the_stub() -> None:
    with OciRegistryStub(login=("me", "secret"), challenge="basic") as stub, httpx.Client(base_url=stub.url) as http:
        refused = http.get("/v2/a/b/tags/list")
        assert (refused.status_code, refused.headers["WWW-Authenticate"].split()[0], code(refused)) == (401, "Basic", "UNAUTHORIZED")
        assert http.get("/v2/a/b/tags/list", auth=("me", "wrong")).status_code == 401
        assert http.post("/v2/a/b/blobs/uploads/", auth=("me", "secret")).status_code == 202


def test_bearer_login_of_the_stub() -> None:
    with OciRegistryStub(login=("me", "secret"), challenge="bearer") as stub, httpx.Client(base_url=stub.url) as http:
        refused = http.post("/v2/a/b/blobs/uploads/")
        assert refused.headers["WWW-Authenticate"] == f'Bearer realm="{stub.url}/token",service="stub",scope="repository:a/b:pull,push"'
        asked = {"service": "stub", "scope": "repository:a/b:pull"}
        assert http.get("/token", params=asked).status_code == 401
        pull = {"Authorization": f"Bearer {http.get('/token', params=asked, auth=('me', 'secret')).json()['token']}"}
        assert http.post("/v2/a/b/blobs/uploads/", headers=pull).status_code == 401
        assert http.get("/v2/a/b/tags/list", headers=pull).status_code == 404
        stub.forget_logins()
        assert http.get("/v2/a/b/tags/list", headers=pull).status_code == 401


def test_a_repository_must_be_known_to_a_registry_that_makes_none() -> None:
    with OciRegistryStub(known={"a/b"}) as stub, httpx.Client(base_url=stub.url) as http:
        assert http.post("/v2/a/b/blobs/uploads/").status_code == 202
        assert code(http.post("/v2/a/c/blobs/uploads/")) == "NAME_UNKNOWN"
