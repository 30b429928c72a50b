"""What the built-in providers say about themselves is complete, true, and cheap to ask."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from mcml.core import exits
from mcml.core.errors import ProviderCannot
from mcml.providers import discovery
from mcml.providers.api.capability import ALL, CLUSTER, Capability, Offer, Support
from mcml.providers.api.spec import ProviderContext, ProviderSpec

BUILT_IN = ("aws", "azure", "gcp", "local")
LOADED = """
import json, sys
from importlib import import_module
for name in ("aws", "azure", "gcp", "local"):
    import_module(f"mcml.providers.{name}")
files = [name for name, module in sys.modules.items() if getattr(module, "__file__", None)]  # not what a .pth file makes of "google"
print(json.dumps(sorted({name.partition(".")[0] for name in files})))
"""
SDKS = {"boto3", "botocore", "google", "azure", "obstore"}
TOO_HEAVY = SDKS | {"pydantic", "sqlalchemy", "duckdb", "numpy", "onnxruntime", "psutil", "httpx"}


def offers(*degrees: Support) -> list[tuple[str, Capability[object]]]:
    pairs = [(name, capability) for name in BUILT_IN for capability in ALL]
    return [(name, capability) for name, capability in pairs if discovery.spec(name).offer(capability).support in degrees]


def label(value: str | Capability[object]) -> str:
    return value if isinstance(value, str) else value.name


def offer_of(name: str, capability: Capability[object]) -> tuple[ProviderSpec, Offer]:
    provider = discovery.spec(name)
    return provider, provider.offer(capability)


def test_there_are_nineteen_capabilities() -> None:
    assert len({capability.name for capability in ALL}) == len(ALL) == 19
    assert all(capability.summary for capability in ALL)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_provider_answers_for_every_capability(name: str) -> None:
    provider = discovery.spec(name)
    assert provider.name == name
    assert provider.summary
    assert set(provider.capabilities) == {capability.name for capability in ALL}


@pytest.mark.parametrize("name", BUILT_IN)
def test_settings_refuse_what_they_do_not_know(name: str) -> None:
    model = discovery.settings_model(discovery.spec(name))
    assert issubclass(model, BaseModel)
    assert model.model_config["extra"] == "forbid"
    model()


@pytest.mark.parametrize(("name", "capability"), offers(Support.FULL, Support.PARTIAL), ids=label)
def test_what_is_offered_can_be_opened(name: str, capability: Capability[object], tmp_path: Path) -> None:
    provider, offer = offer_of(name, capability)
    module, _, factory = offer.where.partition(":")
    assert callable(getattr(import_module(module), factory))
    assert offer.support is Support.FULL or offer.note
    context = ProviderContext(discovery.settings_model(provider)(), tmp_path, target="eu-1", region="eu")
    assert discovery.open_capability(provider, capability, context) is not None


@pytest.mark.parametrize(("name", "capability"), offers(Support.NOT_YET, Support.IMPOSSIBLE), ids=label)
def test_what_is_not_offered_says_why(name: str, capability: Capability[object], tmp_path: Path) -> None:
    provider, offer = offer_of(name, capability)
    assert offer.note
    assert offer.where == ""
    with pytest.raises(ProviderCannot) as cannot:
        discovery.open_capability(provider, capability, ProviderContext(None, tmp_path))
    assert cannot.value.exit_code == exits.PROVIDER_CANNOT == 6
    assert cannot.value.why == offer.note
    word = "not yet" if offer.support is Support.NOT_YET else "impossible"
    assert cannot.value.message == f"provider {name} cannot do {capability.name} ({word})"


def test_what_is_absent_is_no() -> None:
    nothing = ProviderSpec("empty", "offers nothing", "", "builtins:object")
    assert [nothing.offer(capability).support.usable for capability in ALL] == [False] * len(ALL)
    assert "not declared" in nothing.offer(CLUSTER).note


def test_a_missing_package_is_named_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    (tmp_path / "needs_an_sdk.py").write_text("import no_such_sdk\n")
    broken = ProviderSpec("x", "x", "cloud-x", "builtins:object", {"Cluster": Offer(Support.FULL, "needs_an_sdk:open_cluster")})
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ProviderCannot) as cannot:
            discovery.open_capability(broken, CLUSTER, ProviderContext(None, tmp_path))
    finally:
        sys.path.remove(str(tmp_path))
    assert cannot.value.why == "the Python package 'no_such_sdk' is not installed"
    assert cannot.value.next_step == "pip install 'mcml[cloud-x]'"


def test_a_spec_imports_no_sdk() -> None:
    said = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    assert TOO_HEAVY.intersection(json.loads(said.stdout)) == set()
