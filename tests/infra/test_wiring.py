"""What flows from unit to unit: outputs, promises, and what is not known yet."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import McmlError, NotFound
from mcml.infra.units import wiring
from mcml.infra.units.units import Input
from mcml.infra.units.wiring import UNKNOWN

KNOWN = "${jsondecode(terraform_data.mcml_unknown.id)}"


def document(**outputs: tuple[Any, Any]) -> dict[str, Any]:
    changes = {name: {"actions": ["create"], "after": after, "after_unknown": unknown} for name, (after, unknown) in outputs.items()}
    return {"output_changes": changes}


def test_an_output_is_known_as_far_as_the_plan_knows_it() -> None:
    after, unknown = {"ids": [None, None], "cidr": "10.0.0.0/16"}, {"id": True, "ids": [True, True], "cidr": False}
    found = wiring.promised(document(network=(after, unknown), name=("acme", False), arn=(None, True)))
    assert found == {"network": {"cidr": "10.0.0.0/16", "id": UNKNOWN, "ids": [UNKNOWN, UNKNOWN]}, "name": "acme", "arn": UNKNOWN}
    assert not wiring.is_known(found)
    assert wiring.is_known({"name": found["name"]})


@pytest.mark.parametrize("marked", [True, {"password": True}, [False, True]])
def test_a_sensitive_output_is_never_handed_on(marked: Any) -> None:
    said = document(database=({"password": "hunter2"}, {}))
    said["output_changes"]["database"]["after_sensitive"] = marked
    assert wiring.promised(said) == {}


def test_an_output_that_goes_is_not_promised() -> None:
    assert wiring.promised({"output_changes": {"old": {"actions": ["delete"], "after": None, "after_unknown": False}}}) == {}


def test_an_input_is_what_lies_at_its_path() -> None:
    outputs = {"network": {"vpc_id": "vpc-1", "ids": UNKNOWN}}
    assert wiring.take("dns", Input("aws-network", ("network", "vpc_id")), outputs) == "vpc-1"
    assert wiring.take("dns", Input("aws-network", ("network", "ids", "first")), outputs) is UNKNOWN
    assert wiring.take("dns", Input("aws-network", ("network",)), UNKNOWN) is UNKNOWN
    with pytest.raises(NotFound) as refused:
        wiring.take("dns", Input("aws-network", ("network", "vpcid")), outputs)
    assert refused.value.message == "dns needs aws-network.network.vpcid, and aws-network.network has no vpcid"
    assert refused.value.why == "it has ids, vpc_id"


def test_stand_ins_keep_the_shape() -> None:
    files = wiring.stand_ins({"network": {"ids": [UNKNOWN, "a"], "cidr": "10.0.0.0/16", "odd": "${x} %{if}"}})
    assert files == {
        "mcml_unknown.tf.json": {"resource": {"terraform_data": {"mcml_unknown": {}}}},
        "mcml_preview_override.tf.json": {
            "locals": {"network": {"ids": [KNOWN, "a"], "cidr": "10.0.0.0/16", "odd": "$${x} %%{if}"}}
        },
    }  # fmt: skip


def test_a_plan_with_a_stand_in_is_never_applied() -> None:
    plan = {"resource_changes": [{"address": "terraform_data.mcml_unknown"}, {"address": "terraform_data.mine"}]}
    with pytest.raises(McmlError, match="not known, so it is not applied"):
        wiring.refuse_stand_in(plan)
    wiring.refuse_stand_in(wiring.without_stand_in(plan))
    assert wiring.without_stand_in(plan)["resource_changes"] == [{"address": "terraform_data.mine"}]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(UNKNOWN),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=8,
)


def unknown_of(value: Any) -> Any:
    """What Terraform would write as `after_unknown`."""
    if isinstance(value, dict):
        return {key: unknown_of(below) for key, below in value.items()}
    if isinstance(value, list):
        return [unknown_of(below) for below in value]
    return value is UNKNOWN


def after_of(value: Any) -> Any:
    """What Terraform would write as `after`: no attribute that is unknown, null where one of a list is."""
    if isinstance(value, dict):
        return {key: after_of(below) for key, below in value.items() if below is not UNKNOWN}
    if isinstance(value, list):
        return [after_of(below) for below in value]
    return None if value is UNKNOWN else value


@given(values)
def test_what_terraform_says_of_a_value_is_read_back(value: Any) -> None:
    assert wiring.promised(document(it=(after_of(value), unknown_of(value)))) == {"it": value}
    assert wiring.is_known(value) == wiring.same({"it": value}, {"it": value})
