"""Ids of Azure Resource Manager: one spelling for each, and nothing that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest
from mcml.providers.azure.arm import has_tags, name_of_token, parse_id, plain_region, same_id
from mcml.providers.azure.session import Session
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.conftest import MakeSession, management_session

WORD = st.text("abcDEF019-_.", min_size=1, max_size=12).filter(lambda word: word not in (".", ".."))


@given(WORD, WORD, WORD, st.lists(st.tuples(WORD, WORD), min_size=1, max_size=3))
def test_an_id_in_any_case_is_written_in_one_way(subscription: str, group: str, namespace: str, levels: list[tuple[str, str]]) -> None:
    path = "/".join(part for level in levels for part in level)
    text = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}/{path}"
    kind = "/".join((namespace, *(level[0] for level in levels)))
    one = parse_id(text, kind)
    assert one is not None
    assert parse_id(str(one)) == one
    shouted = f"/SUBSCRIPTIONS/{subscription.upper()}/RESOURCEGROUPS/{group.upper()}/PROVIDERS/{namespace.upper()}/{path}/"
    assert parse_id(shouted, kind) == one
    assert same_id(str(one), text)
    assert one.name == levels[-1][1]


@pytest.mark.parametrize(
    "wrong", ["", "m1", "/subscriptions/s", "/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/g/providers/N/t", "https://x/y"]
)
def test_what_is_no_id(wrong: str) -> None:
    assert parse_id(wrong) is None


@pytest.mark.parametrize("name", ["..", ".", "n?x=1", "n#x", "%2E%2e", "a%2fb", "a\\b", "a\nb"])
def test_a_name_that_leads_elsewhere_is_no_id(name: str) -> None:
    assert parse_id(f"/subscriptions/s/resourceGroups/g/providers/N/t/{name}") is None
    assert parse_id(f"/subscriptions/s/resourceGroups/{name}/providers/N/t/n") is None


def test_a_token_is_a_name_of_its_target(arm: ArmStub, make_session: MakeSession, arm_session: Session) -> None:
    names = {name_of_token(arm_session, target, "spot", token) for target in ("a", "b") for token in ("1", "2")}
    assert len(names) == 4
    assert name_of_token(management_session(make_session, arm.url), "a", "spot", "1") in names
    assert all(len(name) <= 64 for name in names)
    with pytest.raises(InvalidRequest):
        name_of_token(arm_session, "a", "spot", "")


def test_tags_and_regions() -> None:
    assert has_tags({"Team": "risk"}, {"team": "risk"})
    assert not has_tags({"Team": "risk"}, {"team": "Risk"})
    assert has_tags(None, None)
    assert not has_tags(None, {"a": "b"})
    assert plain_region("West Europe") == "westeurope"
