"""Which changes are made, and which are refused with what to do instead."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound
from mcml.cost.rightsize import change_views
from mcml.cost.rightsize.fit import barred
from mcml.cost.rightsize.judge import recommend
from mcml.cost.rightsize.look import Seen
from mcml.cost.rightsize.planned import Planned, Wish, less_cpu, planned, undone
from mcml.cost.rightsize.saving import LIST, Rate
from mcml.cost.rightsize.values import Usage
from mcml.providers.api.instances import Instance
from tests.cost.rightsize.made import DEFAULT, FAMILY, M2, M4, M8, NOW, kind, subject, usage

LOW = usage({"machine.cpu": 0.1, "machine.memory": 0.2})
DISKS = ("disk/root",)
ARM = kind("a.2", 2, 8, "0.08", architecture="arm64")


def seen(did: Usage | None = LOW, rate: Rate = LIST, **instance: object) -> Seen:
    one = subject(M4, **{"disks": DISKS, **instance})
    return Seen(recommend(one, did, FAMILY, DEFAULT, rate), did, rate)


def plan(found: Seen, to: str = "", *, force: bool = False, copy: bool = True) -> Planned:
    return planned(found, (*FAMILY, ARM), Wish(to, force, copy, timedelta(minutes=30)), DEFAULT, NOW)


def test_what_is_recommended_is_planned_with_its_saving_and_certificate() -> None:
    found = plan(seen(rate=Rate(paid=Decimal("0.5"), until=NOW)))
    change = found.change
    assert (change.key, change.before, change.after, change.told) == ("eu-1/i-1", "m.4", "m.2", "m.4")
    assert (change.ran, change.disks, change.currency, change.watch) == (True, DISKS, "USD", 1800.0)
    assert (change.list_saving, change.saving) == (Decimal(73), Decimal("36.5"))
    assert (change.cpu, change.risk) == (True, "very low")
    assert all(fit.fits for fit in found.fits)
    assert [(step.action, step.kind) for step in found.plan.steps] == [("create", "snapshot"), ("update", "instance"), ("keep", "watch")]
    assert found.plan.digest == plan(seen(rate=Rate(paid=Decimal("0.5"), until=NOW))).plan.digest
    (item,) = change_views.plan(found).items
    assert item["saving"] == Decimal("36.5")
    assert "temporary disks" in found.notes[-1]


def test_a_machine_with_disks_in_itself_is_stopped_only_when_told_so() -> None:
    """No snapshot holds them."""
    one = subject(replace(M4, local_disk_gb=Decimal(150)), disks=DISKS)
    found = Seen(recommend(one, LOW, FAMILY, DEFAULT, LIST), LOW, LIST)
    with pytest.raises(InvalidRequest, match="eu-1/i-1 is not stopped") as refused:
        plan(found, "m.8")
    assert "150 GB" in refused.value.why
    assert plan(found, "m.8", force=True).change.after == "m.8"
    off = subject(replace(M4, local_disk_gb=Decimal(150)), disks=DISKS, state="stopped")
    assert plan(Seen(recommend(off, None, FAMILY, DEFAULT, LIST), None, LIST), "m.8").change.ran is False


def test_a_machine_with_an_attached_gpu_is_changed_only_when_told_so() -> None:
    found = seen(attached=("1 x nvidia-tesla-t4",))
    assert (found.recommendation.action, found.recommendation.reasons[0].code) == ("keep", "Attached")
    with pytest.raises(InvalidRequest, match="is not resized from here") as refused:
        plan(found, "m.8")
    assert "nvidia-tesla-t4" in refused.value.why
    assert plan(found, "m.8", force=True).change.after == "m.8"


def test_a_type_of_ones_own_choice_is_held_against_what_was_measured() -> None:
    high = seen(usage({"machine.cpu": 0.6, "machine.memory": 0.7}))
    assert high.recommendation.proposed is None
    with pytest.raises(InvalidRequest, match="does not fit what eu-1/i-1 needs") as refused:
        plan(high, "m.2")
    assert "CPU: 3 vCPU are needed, it has 2 vCPU" in refused.value.why
    assert "--to m.2 --force" in refused.value.next_step
    forced = plan(high, "m.2", force=True)
    assert (forced.change.risk, forced.change.saving, forced.change.list_saving) == ("high", Decimal(73), Decimal(73))
    grown = plan(high, "m.8")
    assert (grown.change.risk, grown.change.list_saving, grown.change.cpu) == ("", Decimal(-146), False)


@pytest.mark.parametrize("did", [None, usage({"machine.cpu": 0.1}), usage({"machine.cpu": 0.1, "machine.memory": 0.1}, timedelta(days=2))])
def test_what_is_not_known_is_not_made_smaller(did: Usage | None) -> None:
    with pytest.raises(InvalidRequest, match="does not fit") as refused:
        plan(seen(did), "m.2")
    assert "not measured" in refused.value.why
    assert plan(seen(did), "m.8").change.after == "m.8"


@pytest.mark.parametrize(
    ("instance", "to", "kind_of", "said"),
    [
        ({"spot": True}, "m.2", InvalidRequest, "is not resized from here"),
        ({"group": "workers"}, "m.2", InvalidRequest, "is not resized from here"),
        ({"state": "pending"}, "m.2", Conflict, "is pending"),
        ({"disks": ()}, "m.2", InvalidRequest, "cannot be copied"),
        ({}, "m.3", NotFound, "no machine type named 'm.3'"),
        ({}, "m.4", InvalidRequest, "is m.4 already"),
        ({}, "a.2", InvalidRequest, "does not fit"),
        ({"state": "stopped"}, "", InvalidRequest, "nothing is recommended"),
    ],
)
def test_what_is_refused_says_what_to_do_instead(instance: dict[str, Any], to: str, kind_of: type[McmlError], said: str) -> None:
    with pytest.raises(kind_of, match=said) as refused:
        plan(seen(**instance), to)
    assert refused.value.next_step


def test_one_that_is_stopped_and_one_without_copies() -> None:
    found = plan(seen(state="stopped"), "m.8", copy=False)
    assert (found.change.ran, found.change.disks) == (False, ())
    assert found.notes == ("the saving is by the price list: no bill of this machine was found",)
    assert [step.kind for step in found.plan.steps] == ["instance"]


def test_cpu_is_watched_where_there_may_be_less() -> None:
    assert (less_cpu(M4, M2), less_cpu(M2, M4), less_cpu(M2, ARM)) == (True, False, True)
    assert less_cpu(M2, replace(M2, burstable=True))
    assert not less_cpu(replace(M2, burstable=True), M2)


def test_undo_goes_back_and_promises_the_opposite() -> None:
    change = replace(plan(seen()).change, stage="done")
    machine = Instance("i-1", "m.2", "z", "running", NOW, disks=DISKS)
    back = undone(change, machine, (M2, M4, M8), Wish(), NOW + timedelta(days=1)).change
    assert (back.before, back.after, back.told, back.saving, back.undoes) == ("m.2", "m.4", "m.2", Decimal(-73), change.id)
    assert (back.id != change.id, back.cpu, back.disks) == (True, False, DISKS)
    with pytest.raises(Conflict, match="another type"):
        undone(change, replace(machine, machine="m.8"), (M2, M4, M8), Wish(), NOW)


def test_a_type_that_needs_drivers_the_machine_does_not_have_is_refused_even_by_force() -> None:
    nitro = replace(M2, machine="n.2", requires=("ENA", "NVMe"))
    old = subject(lacks=("ENA",))
    (bar,) = [barred(old, nitro, DEFAULT)]
    assert bar is not None
    assert bar.code == "DriverMissing"
    used = usage({"machine.cpu": 0.1, "machine.memory": 0.2})
    found = recommend(old, used, [M4, M2, nitro], DEFAULT)
    assert found.proposed == M2
    with pytest.raises(InvalidRequest, match=r"would not start as n\.2") as refused:
        planned(Seen(found, used, LIST), [nitro], Wish("n.2", force=True, copy=False), DEFAULT, NOW)
    assert "needs the driver ENA" in refused.value.why
    fine = planned(Seen(replace(found, subject=subject()), used, LIST), [nitro], Wish("n.2", copy=False), DEFAULT, NOW)
    assert "n.2 needs the drivers ENA and NVMe in its image, which m.4 does not" in fine.notes
    has = replace(old, type=replace(M4, requires=("ENA",)))
    assert barred(has, nitro, DEFAULT) is None, "it runs where ENA is needed, so it has it"
