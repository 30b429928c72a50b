"""Drift: a case is a file with a refresh-only plan, what the inventory found, and what differs."""

import json
from pathlib import Path

import pytest

from mcml.infra.drift import find_drift
from mcml.infra.units import Unit
from mcml.providers.api.inventory import Resource

CASES = sorted((Path(__file__).parent / "drifts").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case(path: Path) -> None:
    case = json.loads(path.read_text())
    unit = Unit("local", "dev", tuple(case["declared"]), {"project": "acme"}, "terraform_data.target")
    drift = find_drift(unit, case["document"], [Resource(**resource) for resource in case["existing"]])
    assert [[one.kind, one.target, one.detail, list(one.fix)] for one in drift.drifted] == case["drift"], case["says"]
    assert drift.looked_at == ("eu", "us")
    assert [resource.id for resource in drift.unmanaged] == drift.named("unmanaged")


def test_nothing_applied_is_no_drift() -> None:
    unit = Unit("local", "dev", ("eu",), {"project": "acme"}, "terraform_data.target")
    assert find_drift(unit, {"format_version": "1.2"}, []).drifted == ()
