"""Local data assets: the contract, and what they are on the disk."""

import json
from pathlib import Path

import pytest

from mcml.providers.api.data_assets import DataAssets
from mcml.providers.local.data_assets import open_data_assets
from mcml.providers.local.inventory import open_inventory
from mcml.testing.contracts.data_assets import DataAssetsContract
from tests.providers.local.conftest import MakeContext


class TestDataAssets(DataAssetsContract):
    @pytest.fixture
    def assets(self, make_context: MakeContext) -> DataAssets:
        return open_data_assets(make_context("eu-1"))

    @pytest.fixture
    def place(self) -> str:
        return "local://bucket/train/"


def test_all_targets_share_them_and_inventory_finds_them(make_context: MakeContext, root: Path) -> None:
    made = open_data_assets(make_context("eu-1")).register("locks", "local://b/x/", token="t", tags={"team": "risk"})
    assert open_data_assets(make_context("us-1")).list() == [made]
    inventory = open_inventory(make_context())
    (found,) = inventory.find_by_tag({"team": "risk"})
    assert (found.kind, found.id) == ("data-asset", f"locks@{made.version}")
    assert inventory.delete(found) is True
    assert open_data_assets(make_context("us-1")).list("locks") == []


def test_a_version_is_one_small_file(make_context: MakeContext, root: Path) -> None:
    made = open_data_assets(make_context()).register("fraud", "s3://bucket/data/", token="t")
    said = json.loads((root / "data-assets" / "fraud" / made.version / "asset.json").read_text())
    assert said == {"name": "fraud", "version": made.version, "uri": "s3://bucket/data/"}
