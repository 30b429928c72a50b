"""Overrides as values: put on top of mcml.toml, said in words, and refused where they would leave nobody to serve."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict
from mcml.core.override import Override
from mcml.core.schema_routes import Route
from mcml.incident.react import react
from mcml.route.overrides import (
    CACHE_FILE,
    KINDS,
    Rules,
    begun,
    difference,
    ended,
    from_json,
    read_cache,
    require_backends,
    rules,
    to_json,
    told,
    write_cache,
)

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)


def override(kind: Any, target: str = "", *, route: str = "fraud", reason: str = "", minutes: int = 0, **value: Any) -> Override:
    return Override(kind, route, target, "ann", NOW, value, reason, NOW + timedelta(minutes=minutes) if minutes else None)


def test_settings_are_put_on_top_of_the_file() -> None:
    score = {"latency": "1", "cost": "0", "reliability": "0"}
    mine = [override("set", score=score, timeout=3.5), override("split", split={"a": 1, "b": 99})]
    changes = [*mine, override("set", route="other", timeout=9.0)]
    found = rules("fraud", Route(exploration=7), changes, NOW)
    assert (float(found.route.score.latency), found.route.timeout, found.route.exploration, found.route.split) == (
        1.0,
        3.5,
        7,
        {"a": 1, "b": 99},
    )
    assert found.overrides == tuple(mine)


def test_what_is_over_or_of_another_route_is_not_in_force() -> None:
    changes = [override("drain", "eu-1", minutes=5), override("drain", "us-1", route=""), override("pin", "ap-1", route="other")]
    soon, later = (rules("fraud", Route(), changes, NOW + timedelta(minutes=minutes)) for minutes in (4, 5))
    assert (soon.drained("eu-1"), soon.drained("us-1"), soon.pinned) == ("drained by ann", "drained by ann", "")
    assert (later.drained("eu-1"), later.drained("us-1")) == ("", "drained by ann")


def test_what_no_longer_fits_is_left_out_and_kept_to_be_said() -> None:
    wrong = override("split", split={"a": 50, "b": 20})
    found = rules("fraud", Route(), [wrong, override("set", exploration=3)], NOW)
    assert (found.route.split, found.route.exploration, found.unfit) == ({}, 3, (wrong,))


def test_words() -> None:
    drain = override("drain", "eu-1", reason="a new disk", minutes=30)
    assert told(drain, NOW + timedelta(minutes=5)) == "drained by ann 5m ago: a new disk (25m left)"
    assert told(drain, NOW + timedelta(minutes=90)) == "drained by ann 1h 30m ago: a new disk (it ended 1h ago)"
    assert difference(Rules(Route()), Rules(Route(), (drain,))) == "eu-1 was drained by ann: a new disk"
    assert difference(Rules(Route(), (drain,)), Rules(Route())) == "eu-1 is no longer drained"
    assert difference(Rules(Route()), Rules(Route(timeout=1.0))) == "mcml.toml has changed"


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_no_incident(kind: Any) -> None:
    one = override(kind, "eu-1", reason="a test", minutes=30)
    facts = begun(one, "fraud"), ended(one, NOW + timedelta(minutes=1), "bob", "done", "fraud")
    assert [fact.kind for fact in facts] == list(KINDS[kind])
    assert (facts[0].actor, facts[1].actor, facts[1].facts["held_s"]) == ("ann", "bob", 60)
    assert all(list(react(fact, [])) == [] for fact in facts)


TARGETS = {"fraud": frozenset({"eu-1", "us-1"}), "churn": frozenset({"eu-1"})}


def check(routes: dict[str, Route], before: list[Override], *added: Override) -> None:
    require_backends(routes, TARGETS, before, [*before, *added], NOW)


def test_a_change_must_leave_somebody() -> None:
    fraud = {"fraud": Route()}
    check(fraud, [], override("drain", "eu-1"))
    with pytest.raises(Conflict, match="leave the route fraud without a backend") as refused:
        check(fraud, [override("drain", "eu-1")], override("drain", "us-1"))
    assert "--force" in refused.value.next_step
    check({"churn": Route()}, [override("drain", "eu-1", route="")], override("drain", "us-1", route=""))  # it had none before


def test_a_region_and_the_tiers_count() -> None:
    regions = {"fraud": Route(pattern="residency", regions={"eu": ("eu-1",), "us": ("us-1",)})}
    with pytest.raises(Conflict, match="the region us"):
        check(regions, [], override("drain", "us-1", route=""))
    tiers = {"fraud": Route(pattern="active-passive", tiers=(("us-1",), ("ap-1",)))}
    with pytest.raises(Conflict, match="the route fraud"):
        check(tiers, [], override("drain", "us-1"))


texts = st.text(max_size=20)
made = st.builds(
    Override,
    st.sampled_from(sorted(KINDS)),
    texts,
    texts,
    texts,
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.dictionaries(texts, st.one_of(st.integers(), texts, st.floats(allow_nan=False, allow_infinity=False))),
    texts,
    st.one_of(st.none(), st.just(NOW)),
)


@given(made)
def test_json_and_back(one: Override) -> None:
    assert from_json(to_json(one)) == one


def test_the_cache_of_a_router(tmp_path: Path) -> None:
    assert read_cache(tmp_path) == ()
    kept = (override("drain", "eu-1", minutes=3), override("set", timeout=3.5))
    write_cache(tmp_path, kept)
    assert read_cache(tmp_path) == kept
    (tmp_path / CACHE_FILE).write_text('[{"kind": "drain"')
    assert read_cache(tmp_path) == ()
