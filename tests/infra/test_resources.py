"""What a plan says of its resources: regions, clouds, and references through modules."""

from typing import Any

import pytest

from mcml.infra.plans.resources import region_name, resources_of
from tests.infra.clouds import kept


@pytest.mark.parametrize(
    ("place", "region"),
    [
        ("eu-west-1", "eu-west-1"), ("eu-west-1b", "eu-west-1"), ("us-gov-east-1a", "us-gov-east-1"), ("europe-west1", "europe-west1"),
        ("europe-west1-b", "europe-west1"), ("West Europe", "westeurope"), ("EU", "eu"), ("", ""), (None, ""),
    ],
)  # fmt: skip
def test_regions_and_zones(place: object, region: str) -> None:
    assert region_name(place) == region


def test_a_region_is_that_of_the_resource_the_provider_or_its_neighbours() -> None:
    regions = {one.address: one.region for one in resources_of(kept("aws", "good"))}
    assert set(regions.values()) == {"us-east-1"}, "from a variable of the provider, and from a zone"
    azure = {one.address: one.region for one in resources_of(kept("azurerm", "good"))}
    assert azure["azurerm_kubernetes_cluster_node_pool.gpu"] == "westeurope"
    google = {one.address: one.region for one in resources_of(kept("google", "good"))}
    assert (google["google_container_node_pool.gpu"], google["google_storage_bucket.models"]) == ("europe-west1", "eu")
    assert google["google_bigquery_dataset.bills"] == "eu"


def test_references_are_followed_through_for_each() -> None:
    found = {one.address: one.refers for one in resources_of(kept("aws", "good"))}
    assert found['aws_s3_bucket_public_access_block.models["data"]'] == {"bucket": ["aws_s3_bucket.models"]}
    azure = {one.address: one.refers for one in resources_of(kept("azurerm", "good"))}
    assert azure["azurerm_management_lock.group"] == {"scope": ["azurerm_resource_group.main"]}


def test_a_part_is_where_the_whole_is() -> None:
    document = kept("azurerm", "good")
    for change in document["resource_changes"]:
        if change["address"] == "azurerm_storage_account.lake":
            change["change"]["after"]["location"] = "northeurope"
    regions = {one.address: one.region for one in resources_of(document)}
    assert (regions["azurerm_storage_account.lake"], regions["azurerm_mssql_database.main"]) == ("northeurope", "westeurope")
    assert regions["azurerm_kubernetes_cluster_node_pool.gpu"] == "westeurope"
    assert regions["azurerm_management_lock.group"] == "", "two regions: nobody can tell"


def in_modules() -> dict[str, Any]:
    """A block in the module `guard` that is given the bucket which the module `store` puts out."""

    def change(address: str, kind: str) -> dict[str, Any]:
        about = {"actions": ["create"], "after": {}}
        return {"address": address, "type": kind, "mode": "managed", "provider_name": "example.org/hashicorp/aws", "change": about}

    bucket = {"address": "aws_s3_bucket.this", "mode": "managed", "expressions": {}}
    block = {"address": "aws_block.this", "mode": "managed", "expressions": {"bucket": {"references": ["var.id"]}}}
    outputs = {"id": {"expression": {"references": ["aws_s3_bucket.this[0].id", "aws_s3_bucket.this[0]", "aws_s3_bucket.this"]}}}
    calls = {
        "store": {"module": {"resources": [bucket], "outputs": outputs}},
        "guard": {"expressions": {"id": {"references": ["module.store.id", "module.store"]}}, "module": {"resources": [block]}},
    }
    changes = [change("module.store.aws_s3_bucket.this[0]", "aws_s3_bucket"), change("module.guard.aws_block.this", "aws_block")]
    return {"resource_changes": changes, "configuration": {"root_module": {"module_calls": calls}}}


def test_references_are_followed_through_modules() -> None:
    found = {one.address: one for one in resources_of(in_modules())}
    assert found["module.guard.aws_block.this"].refers == {"bucket": ["module.store.aws_s3_bucket.this"]}
    assert found["module.store.aws_s3_bucket.this[0]"].within == "module.store.aws_s3_bucket.this"


def test_a_circle_ends() -> None:
    document = in_modules()
    call = document["configuration"]["root_module"]["module_calls"]["guard"]
    call["expressions"]["id"]["references"] = ["module.guard.id"]
    call["module"]["outputs"] = {"id": {"expression": {"references": ["var.id"]}}}
    assert resources_of(document)[0].refers == {}


def test_what_is_read_is_no_resource_and_what_is_of_no_cloud_has_none() -> None:
    data = {"address": "data.x.y", "type": "x", "mode": "data", "change": {"actions": ["read"]}}
    gone = {"actions": ["delete"], "before": {"a": 1}}
    local = {"address": "terraform_data.t", "type": "terraform_data", "mode": "managed", "change": gone}
    (found,) = resources_of({"resource_changes": [data, local]})
    assert (found.cloud, found.region, found.before, found.after) == ("", "", {"a": 1}, None)
    assert resources_of({"resource_changes": [local]}, "eu-1")[0].region == "eu-1"
