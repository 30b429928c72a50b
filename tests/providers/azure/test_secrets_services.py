"""No credential of AKS, Azure ML or ACR appears in a message, a repr, a traceback or a log, at the most talkative level."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.providers.api.computes import ComputeRequest
from mcml.providers.azure.cluster import AksCluster
from mcml.providers.azure.computes import MlComputes
from mcml.providers.azure.data_assets import MlDataAssets
from mcml.providers.azure.endpoint import MlEndpoint
from mcml.providers.azure.jobs import MlJobs
from mcml.providers.azure.ml_workspace import Workspace
from mcml.providers.azure.registry import AcrRegistry
from mcml.providers.resilience import Policy
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from tests.providers.azure.acr_stub import AcrStub
from tests.providers.azure.aks_stub import Aks, pool
from tests.providers.azure.conftest import GivenToken, MakeSession, management_session
from tests.providers.azure.ml_assets_stub import MlAssets
from tests.providers.azure.ml_jobs_stub import SIGNATURE, MlJobsStub
from tests.providers.azure.ml_stub import Ml
from tests.providers.azure.test_endpoint import request as version
from tests.providers.azure.test_jobs import request as job


@pytest.fixture
def stub(arm: ArmStub, tmp_path: Path) -> Iterator[MlJobsStub]:
    served = MlJobsStub(Ml(arm).serve(), tmp_path).serve()
    yield served
    served.close()


def told(calls: list[Callable[[], object]]) -> str:
    """Make the calls, and return what a person could see of each."""
    seen: list[str] = []
    for call in calls:
        try:
            seen.append(repr(call()))
        except McmlError as failed:
            seen += [repr(failed), failed.message, failed.why, failed.next_step, "".join(traceback.format_exception(failed))]
    return "\n".join(seen)


def test_the_secrets_of_services(
    arm: ArmStub,
    stub: MlJobsStub,
    certificate: tuple[Path, Path],
    make_session: MakeSession,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    given = GivenToken()
    Aks(arm, certificate[0]).serve().add("prod", {"cpu": pool(1)})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")
    with AcrStub(*certificate, given.text) as acr:
        policy = Policy(sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
        own = {"workspace": "ml", "compute": "cpu", "registry": acr.host, "credential": given, "policy": policy}
        session = management_session(make_session, arm.url, **own)
        clusters, endpoints, registry = AksCluster(session), MlEndpoint(Workspace(session), "az-weu"), AcrRegistry(session)
        jobs = MlJobs(Workspace(session), "az-weu", follow_seconds=0.02)
        MlAssets(stub.ml).serve()
        assets, computes = MlDataAssets(Workspace(session)), MlComputes(Workspace(session))

        def with_key() -> object:
            next(iter(stub.ml.endpoints.values()))["properties"]["authMode"] = "Key"
            return endpoints.invoke_target("fraud")

        def refused() -> object:
            arm.fail(ArmError(403, "AuthorizationFailed", "The client does not have authorization."))
            return endpoints.describe()

        made = jobs.submit(job("talks", "t1")).id
        calls: list[Callable[[], object]] = [
            lambda: clusters.access("prod"), lambda: clusters.access("gone"), lambda: clusters.pools("prod"),
            lambda: endpoints.create(version("fraud", "1")), lambda: endpoints.invoke_target("fraud"), with_key, refused,
            lambda: list(jobs.logs(made, follow=True)), lambda: jobs.status(made), lambda: jobs.cancel("gone"),
            lambda: registry.push("fraud", tmp_path / "model", "v1"), lambda: registry.resolve("fraud", "v2"), lambda: registry.list(),
            lambda: assets.register("fraud", "az://lake/train/", token="t"), lambda: assets.list(), lambda: assets.describe("gone"),
            lambda: computes.create(ComputeRequest("cpu-pool", "t", "Standard_None")), lambda: computes.describe("gone"),
            lambda: [vars(thing) for thing in (session, clusters, endpoints, jobs, registry, assets, computes)],
        ]  # fmt: skip
        seen = told(calls) + caplog.text
        secrets = [given.text, "aml-key", "aml-token", SIGNATURE.partition("sig=")[2], *acr.refresh, *acr._tokens]
    assert "/logs/" in caplog.text  # the talkative level talks
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret in seen] == []
