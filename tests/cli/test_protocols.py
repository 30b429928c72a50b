"""A route that asks for gRPC where endpoints speak HTTP only is refused when mcml.toml is read, with the line and what to do."""

import json
from pathlib import Path

import pytest

from mcml.core import exits
from mcml.testing.cli import run

TOML = """
[targets.use1]
provider = "{provider}"
region = "us-east-1"
[targets.here]
provider = "local"
region = "eu"
[models.fraud]
source = "models/fraud"
targets = ["here", "use1"]
[models.near]
source = "models/near"
targets = ["here"]
[routes.fraud]
protocol = "{protocol}"
[routes.near]
protocol = "grpc"
"""


def show(folder: Path, provider: str, protocol: str) -> tuple[int, str]:
    (folder / "mcml.toml").write_text(TOML.format(provider=provider, protocol=protocol))
    result = run(["config", "show", "-o", "json"], cwd=folder)
    if result.code == 0:
        assert json.loads(result.out)["items"]
    return result.code, result.err


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure"])
@pytest.mark.parametrize("protocol", ["grpc", "both"])
def test_managed_endpoints_speak_http_only(tmp_path: Path, provider: str, protocol: str) -> None:
    code, said = show(tmp_path, provider, protocol)
    assert code == exits.USAGE
    assert f"mcml.toml:15: routes.fraud.protocol is '{protocol}', but" in " ".join(said.split())
    assert f"endpoints of the provider {provider} (target use1) speak HTTP only" in " ".join(said.split())
    assert 'protocol = "http"' in said
    assert "routes.near" not in said


def test_http_is_for_all_and_grpc_for_those_who_speak_it(tmp_path: Path) -> None:
    assert show(tmp_path, "aws", "http")[0] == 0
    assert show(tmp_path, "local", "both")[0] == 0


def test_a_split_counts_with_all_its_models(tmp_path: Path) -> None:
    text = TOML.format(provider="aws", protocol="http").replace('protocol = "grpc"', 'protocol = "grpc"\nsplit = { near = 50, fraud = 50 }')
    (tmp_path / "mcml.toml").write_text(text)
    result = run(["route", "status"], cwd=tmp_path)
    assert result.code == exits.USAGE
    assert "routes.near.protocol" in result.err


def test_an_unknown_provider_is_somebody_elses_error(tmp_path: Path) -> None:
    assert show(tmp_path, "nimbus", "grpc")[0] == 0


@pytest.mark.parametrize("more", ["validate_requests = true", 'shadow = { model = "near" }'])
def test_what_looks_at_http_needs_http(tmp_path: Path, more: str) -> None:
    text = TOML.format(provider="local", protocol="both")
    for protocol, code in (("grpc", exits.USAGE), ("both", 0)):
        (tmp_path / "mcml.toml").write_text(text.replace('protocol = "grpc"', f'protocol = "{protocol}"\n{more}'))
        result = run(["config", "show"], cwd=tmp_path)
        assert result.code == code
        assert ("this route speaks gRPC only" in " ".join(result.err.split())) is (code != 0)
