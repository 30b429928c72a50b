"""Endpoints of every kind of provider as the backends of a router."""

from mcml.core.backend import Backend
from mcml.core.schema import Target
from mcml.deploy.backends import backends_of
from mcml.providers.api.endpoint import Endpoint, InvokeTarget, Variant

TARGET = Target(provider="p", region="r")


def backend(where: InvokeTarget, *variants: Variant) -> Backend:
    endpoint = Endpoint("fraud", "t", variants or (Variant("1", "d" * 64, "ready", 100, where.url),))
    (found,) = backends_of([endpoint], TARGET, lambda _, __: where)
    return found


def test_a_server_of_our_own() -> None:
    found = backend(InvokeTarget("http://127.0.0.1:4711", "/v2/models/fraud/infer", "/v2/health/ready"))
    assert found == Backend("t", "fraud", "127.0.0.1", 4711, "p", "r", version="1", digest="d" * 64)


def test_one_behind_a_base_path() -> None:
    found = backend(InvokeTarget("https://models.example.com/a", "/b/v2/models/fraud/infer", "/v2/health/ready"))
    assert (found.host, found.port, found.tls, found.path, found.infer_path) == ("models.example.com", 443, True, "/a/b", "")


def test_a_managed_endpoint_with_a_path_of_its_own() -> None:
    url, path = "https://runtime.sagemaker.eu-west-1.amazonaws.com", "/endpoints/e/invocations"
    headers = {"X-Amzn-SageMaker-Target-Variant": "v"}
    found = backend(InvokeTarget(url, path, "", "sigv4", headers=headers, service="sagemaker", region="eu-west-1"))
    assert (found.infer_path, found.health_path, found.auth) == (path, "", "sigv4")
    assert (found.service, found.signing_region, found.headers) == ("sagemaker", "eu-west-1", tuple(headers.items()))


def test_a_managed_endpoint_that_speaks_the_whole_protocol() -> None:
    found = backend(InvokeTarget("https://e.inference.ml.azure.com", "/v2/models/fraud/infer", "/v2/health/ready", "bearer"))
    assert (found.infer_path, found.path, found.auth, found.tls) == ("", "", "bearer", True)


def test_the_version_with_most_traffic_and_none_without() -> None:
    asked = []

    def way(endpoint: Endpoint, variant: Variant) -> InvokeTarget:
        asked.append((endpoint.name, variant.version))
        return InvokeTarget(variant.address, "/v2/models/fraud/infer", "")

    two = Endpoint("fraud", "t", (Variant("1", "", "ready", 10, "http://a:1"), Variant("2", "", "stopped", 90, "http://a:2")))
    idle = Endpoint("idle", "t", (Variant("1", "", "ready", 0, "http://a:1"), Variant("2", "", "starting", 100)))
    assert [one.version for one in backends_of([two, idle], TARGET, way)] == ["2"]
    assert asked == [("fraud", "2")]
