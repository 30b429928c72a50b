"""The stub provider: Terraform itself refuses what the real schema does not know, and plans, applies and destroys what it does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.infra.terraform.runner import environment
from tests.infra.rig import terraform
from tests.terraform.stub_provider import mirror, schema
from tests.terraform.stub_provider.subset import cut, used
from tests.terraform.stub_provider.values import UNKNOWN, decode, encode, known, made_up

STRING = {"type": "string", "optional": True}
SCHEMA: dict[str, Any] = {
    "format_version": "1.0",
    "provider_schemas": {
        "registry.terraform.io/hashicorp/acme": {
            "provider": {"version": 0, "block": {"attributes": {"project": {**STRING, "description": "left out"}}}},
            "resource_schemas": {
                "acme_cluster": {
                    "version": 1,
                    "block": {
                        "attributes": {
                            "id": {"type": "string", "computed": True},
                            "name": {"type": "string", "required": True},
                            "password_wo": {"type": "string", "optional": True, "write_only": True, "sensitive": True},
                            "zones": {"type": ["list", "string"], "optional": True, "computed": True},
                        },
                        "block_types": {
                            "pool": {
                                "nesting_mode": "list",
                                "max_items": 2,
                                "block": {
                                    "attributes": {
                                        "size": {"type": "number", "required": True},
                                        "url": {"type": "string", "computed": True},
                                    }
                                },
                            },
                            "login": {"nesting_mode": "list", "block": {"attributes": {"ca": {"type": "string", "computed": True}}}},
                        },
                    },
                }
            },
            "data_source_schemas": {
                "acme_zones": {"version": 0, "block": {"attributes": {"names": {"type": ["list", "string"], "computed": True}}}}
            },
        }
    },
}  # fmt: skip
MODULE = """
terraform {
  required_providers {
    acme = {
      source = "hashicorp/acme"
    }
  }
}
provider "acme" {
  project = "p"
}
variable "password" {
  type      = string
  ephemeral = true
}
data "acme_zones" "here" {
}
resource "acme_cluster" "one" {
  name        = "one"
  password_wo = var.password
  pool {
    size = length(data.acme_zones.here.names)
  }
}
output "found" {
  value = [acme_cluster.one.pool[0].url, acme_cluster.one.pool[0].size, acme_cluster.one.login[0].ca, acme_cluster.one.zones]
}
"""
SECRET = "a-password-that-no-state-holds"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    more = {"filled": ["acme_cluster.login"], "answers": {"acme_zones.names": ["a", "b", "c"]}}
    (tmp_path / "more.json").write_text(json.dumps(more))
    mirror.install(tmp_path / "mirror", "hashicorp/acme", "1.2.3", tmp_path / "schema.json", tmp_path / "more.json")
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.tf").write_text(MODULE)
    return module


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = dict(environment(dict(os.environ), "default", Path(sys.executable).parent))
    env |= {**mirror.environment(folder.parent / "mirror", folder.parent), "TF_VAR_password": SECRET}
    argv = [*terraform().argv, *args, "-no-color"]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_module_lives_its_life(folder: Path) -> None:
    """Apply, an empty second plan, a change in place, destroy; what a cloud decides is known afterwards; a write-only value never is."""
    assert run(folder, "init").returncode == 0
    applied = run(folder, "apply", "-auto-approve", "-input=false")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    url, size, ca, zones = json.loads(run(folder, "output", "-json", "found").stdout)
    assert (size, len(zones)) == (3, 1)
    assert url.startswith("url-")
    assert ca.startswith("ca-")
    assert SECRET not in (folder / "terraform.tfstate").read_text()
    assert run(folder, "plan", "-detailed-exitcode", "-input=false").returncode == 0
    (folder / "main.tf").write_text(MODULE.replace('name        = "one"', 'name        = "two"'))
    changed = run(folder, "plan", "-detailed-exitcode", "-input=false")
    assert changed.returncode == 2
    assert "0 to add, 1 to change, 0 to destroy" in changed.stdout
    assert run(folder, "destroy", "-auto-approve", "-input=false").returncode == 0
    assert json.loads((folder / "terraform.tfstate").read_text())["resources"] == []


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ('name        = "one"', 'nam = "one"', 'An argument named "nam" is not expected here'),
        ('  name        = "one"\n', "", 'The argument "name" is required'),
        ("size = length(data.acme_zones.here.names)", 'size = "three"', "a number is required"),
        ("  pool {", "  pol {", 'Blocks of type "pol" are not expected here'),
        ("  pool {", "  pool {\n size = 1\n}\npool {\nsize = 2\n}\npool {", "No more than 2 \"pool\" blocks are allowed"),
        ('"acme_cluster"', '"acme_clutser"', "does not support resource type"),
        ("pool[0].url", "pool[0].uri", 'exported attribute named "uri". Did you mean "url"?'),
    ],
)  # fmt: skip
def test_terraform_refuses_what_the_schema_does_not_know(folder: Path, good: str, bad: str, said: str) -> None:
    (folder / "main.tf").write_text(MODULE.replace(good, bad))
    assert run(folder, "init").returncode == 0
    refused = run(folder, "validate")
    assert refused.returncode == 1
    assert said in " ".join((refused.stdout + refused.stderr).split())


def test_started_by_hand_it_says_what_it_is(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.terraform.stub_provider", "schema.json"]
    ended = subprocess.run(argv, cwd=mirror.ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "This is a Terraform provider: Terraform starts it.\n")


def test_a_subset_holds_what_the_modules_use(folder: Path) -> None:
    wanted = used([folder])
    assert wanted["resource_schemas"] == {"acme_cluster"}
    assert wanted["data_source_schemas"] == {"acme_zones"}
    full = json.loads(json.dumps(SCHEMA).replace('"acme_zones"', '"acme_other"'))
    (found,) = cut(full, wanted)["provider_schemas"].values()
    assert set(found["resource_schemas"]) == {"acme_cluster"}
    assert found["data_source_schemas"] == {}
    assert "description" not in json.dumps(found)


KINDS = st.recursive(
    st.sampled_from(["string", "number", "bool"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["list", "set", "map"]), inner).map(list),
        st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3).map(lambda kinds: ["object", kinds]),
        st.lists(inner, max_size=3).map(lambda kinds: ["tuple", kinds]),
    ),
    max_leaves=8,
)


@given(KINDS)
def test_made_up_values_survive_the_wire_and_are_the_same_again(kind: Any) -> None:
    value = made_up(kind, "acme_cluster.one")
    assert decode(encode(value)) == value == made_up(kind, "acme_cluster.one")
    assert decode(encode([UNKNOWN, value])) == [UNKNOWN, value]
    assert known([UNKNOWN, value], ["tuple", [kind, kind]], "where")[1] == value


def test_the_type_of_a_block_is_that_of_its_values() -> None:
    block = SCHEMA["provider_schemas"]["registry.terraform.io/hashicorp/acme"]["resource_schemas"]["acme_cluster"]["block"]
    kind = schema.type_of(block)
    assert kind[1]["pool"] == ["list", ["object", {"size": "number", "url": "string"}]]
    assert set(schema.empty(block)) == set(kind[1])
