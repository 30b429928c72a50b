"""The grader follows the rule of the Cant-Be-Late benchmark to the letter."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest
from mcml.cost.spot.contest import POLICIES
from mcml.cost.spot.job import Bools, Choice, Job
from mcml.cost.spot.simulate import Graded, grade
from tests.cost.spot.drawn import ON_DEMAND, SPOT, Fixed, graded_by, jobs

WAIT, UP, DEMAND = Choice.WAIT, Choice.SPOT, Choice.ON_DEMAND
DAY = Job(48 * 3600, 52 * 3600, 720, 600, ON_DEMAND, SPOT)


def scripted(job: Job, script: list[int], up: str) -> Graded:
    return grade(job, Fixed(script), np.array([[one == "1" for one in up]]))


@given(jobs(), st.sampled_from(sorted(POLICIES)))
@settings(max_examples=60, deadline=None)
def test_spot_that_never_ends_scores_100_and_none_at_all_scores_0(job: Job, policy: str) -> None:
    roomy = replace(job, deadline=job.deadline + 4 * job.restart + 3 * job.tick)  # so that no policy is out of slack at the start
    always = grade(roomy, POLICIES[policy](), np.ones((2, roomy.ticks), np.bool_))
    never = grade(roomy, POLICIES[policy](), np.zeros((2, roomy.ticks), np.bool_))
    assert (always.late, never.late) == (0, 0)
    assert always.score == 100
    assert never.score == 0 or policy == "uniform progress"  # which starts and stops, for the line of progress is slower than a machine
    assert never.mean_cost >= never.uninterrupted(ON_DEMAND)


@given(graded_by(), st.sampled_from(sorted(POLICIES)))
@settings(max_examples=150, deadline=None)
def test_a_job_costs_at_least_spot_and_pays_each_tick_once(drawn: tuple[Job, Bools], policy: str) -> None:
    job, up = drawn
    found = grade(job, POLICIES[policy](), up)
    paid = found.spot + found.on_demand
    assert (found.spot <= up.sum(axis=1)).all()
    assert (paid <= job.ticks).all()
    assert (paid[found.done > 0] * job.tick >= job.work + job.restart).all()
    assert (found.done <= job.ticks).all()
    assert found.mean_cost <= job.on_demand * job.ticks * job.tick / 3600
    if not found.late:
        assert found.mean_cost >= found.uninterrupted(job.spot)


@given(graded_by())
@settings(max_examples=100, deadline=None)
def test_our_policy_and_never_wait_are_never_late(drawn: tuple[Job, Bools]) -> None:
    job, up = drawn
    for policy in ("planned", "never wait"):
        assert grade(job, POLICIES[policy](), up).late == 0, policy


def test_a_pending_start_is_replaced_not_added() -> None:
    """A start of 720 s on spot, taken away after 600 of them, then one on demand: 720 s from then on, not 840."""
    job = Job(480, 3600, 720, 600, ON_DEMAND, SPOT)
    found = scripted(job, [UP, DEMAND], "100000")
    assert (found.spot[0], found.on_demand[0], found.done[0], found.starts[0], found.interruptions[0]) == (1, 2, 3, 2, 1)
    assert scripted(replace(job, work=481), [UP, DEMAND], "100000").done[0] == 4  # 480 s is what two ticks of on-demand leave


def test_what_is_pending_goes_on_over_ticks_and_a_pause_ends_the_machine() -> None:
    job = Job(480, 6000, 720, 600, ON_DEMAND, SPOT)
    assert scripted(job, [UP], "1" * 10).done[0] == 2
    assert scripted(job, [UP, WAIT, UP], "1" * 10).done[0] == 4
    assert scripted(job, [DEMAND, UP, UP], "1" * 10).done[0] == 3, "from one machine to another is a start"


def test_spot_without_spot_is_nothing() -> None:
    found = scripted(Job(600, 6000, 0, 600, ON_DEMAND, SPOT), [UP], "0001111111")
    assert (found.spot[0], found.done[0], found.starts[0]) == (1, 4, 1)


def test_a_tick_is_paid_in_full_and_the_deadline_itself_is_in_time() -> None:
    job = Job(601, 1200, 0, 600, ON_DEMAND, SPOT)
    found = scripted(job, [DEMAND], "00")
    assert (found.done[0], found.mean_cost) == (2, Decimal("1.02"))
    late = scripted(job, [WAIT, DEMAND], "00")
    assert (late.done[0], late.late) == (-1, 1)


def test_48_hours_without_an_interruption_cost_289_ticks() -> None:
    found = grade(replace(DAY, restart=180), POLICIES["planned"](), np.ones((1, 312), np.bool_))
    assert (found.spot[0], found.mean_cost, int(found.score)) == (289, Decimal("46.870983"), 100)


def test_a_trace_shorter_than_the_deadline_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too short"):
        grade(DAY, POLICIES["greedy"](), np.ones((1, 311), np.bool_))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"work": 0}, "no job"),
        ({"tick": 0}, "no job"),
        ({"restart": -1}, "no job"),
        ({"deadline": 48 * 3600}, "deadline cannot be kept"),
        ({"spot": Decimal("3.07")}, "no spot prices"),
        ({"spot": Decimal(0)}, "no spot prices"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_no_job_is_refused(changed: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        replace(DAY, **changed)  # type: ignore[arg-type]
