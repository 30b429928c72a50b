"""All layers of `terraform/aws` together, wired by their outputs: on the stub, and on the real provider against moto where there is one.

MCML_TERRAFORM_MIRROR names a file-system mirror that holds hashicorp/aws 5.100.0. PostgreSQL, Redis and the lifecycles of buckets are on
the stub only, since the provider waits for each for a minute and more. `moto/NAME_override.tf` says what moto gets wrong.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.providers.aws import moto_server
from tests.terraform.modules import Module, check_its_life, copied, surroundings
from tests.terraform.test_aws import AWS

HERE = Path(__file__).parent
MIRROR = os.environ.get("MCML_TERRAFORM_MIRROR", "")
real_provider = pytest.mark.skipif(not MIRROR, reason="MCML_TERRAFORM_MIRROR names no mirror with the real AWS provider: stub only")


def together(tmp_path: Path, environ: dict[str, str]) -> Module:
    root = tmp_path / "root"
    root.mkdir()
    for layer in AWS.layers:
        copied(AWS.folder / layer, root / layer)
    shutil.copy(HERE / "layers" / "aws.tf", root / "main.tf")
    return Module(root, environ)


def check_the_wires(everything: dict[str, Any]) -> None:
    network, cluster, ml = everything["network"], everything["cluster"], everything["ml"]
    assert ml["sagemaker_network"]["subnet_ids"] == network["private_subnet_ids"]
    assert sorted(cluster["node_groups"]) == ["general", "gpu", "ml"]
    assert set(ml["workload_role_arns"]) == {"serving"}
    assert everything["data"]["buckets"]["models"] == "acme-dev-models-123456789012"


@pytest.mark.slow
def test_all_layers_together_on_the_stub(tmp_path: Path) -> None:
    module = together(tmp_path, surroundings(AWS, tmp_path))
    module.init()
    check_the_wires(check_its_life(module, at=module.folder)["everything"])


@real_provider
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_layers_together_on_the_real_provider_against_moto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
    with moto_server.running(tmp_path) as url:
        environ = surroundings(AWS, tmp_path, Path(MIRROR)) | keys | {"AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "2"}
        module = together(tmp_path, environ)
        for layer in AWS.layers:
            if (override := HERE / "moto" / f"{layer}_override.tf").exists():
                shutil.copy(override, module.folder / layer / "moto_override.tf")
        module.init()
        everything = check_its_life(module, at=module.folder, databases="false")["everything"]
    check_the_wires(everything)
    assert everything["data"]["bucket_arns"]["data"] == "arn:aws:s3:::acme-dev-data-123456789012"
    assert everything["cluster"]["oidc_issuer"] in everything["cluster"]["oidc_provider_arn"]
