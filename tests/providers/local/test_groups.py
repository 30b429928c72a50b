"""Local groups: the contract, dead members, and how groups are made and removed."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.errors import InvalidRequest, NotFound, QuotaExceeded
from mcml.providers.api.groups import Groups
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.groups import define_group, delete_group, open_groups
from mcml.providers.local.instances import MEMBER_TAG, open_instances
from mcml.testing.contracts.groups import GroupsContract
from tests.providers.local.conftest import MakeContext, Processes


@pytest.fixture
def ctx(make_context: MakeContext, runs: Processes) -> ProviderContext:
    return make_context("eu-1", region="eu")


class TestLocalGroups(GroupsContract):
    @pytest.fixture
    def groups(self, ctx: ProviderContext) -> Groups:
        return open_groups(ctx)

    @pytest.fixture
    def group(self, ctx: ProviderContext) -> str:
        return define_group(ctx, "workers", "local-1x1", minimum=0, maximum=3, desired=1, tags={"team": "risk"}).name


def test_a_dead_member_is_missing_until_the_next_resize(ctx: ProviderContext, root: Path) -> None:
    define_group(ctx, "workers", "local-1x1", minimum=0, maximum=3, desired=2)
    groups, members = open_groups(ctx), open_instances(ctx).list({MEMBER_TAG: "workers"})
    pid = json.loads((root / "instances" / members[0].id / "process.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    GroupsContract().wait(groups, "workers", 1)
    assert groups.resize("workers", 2).running == 2
    after = {member.id for member in open_instances(ctx).list({MEMBER_TAG: "workers"})}
    assert len(after) == 2
    assert members[1].id in after
    assert members[0].id not in after


def test_members_are_instances_with_the_tags_of_the_group(ctx: ProviderContext) -> None:
    define_group(ctx, "workers", "local-1x1", minimum=1, maximum=3, command=("sleep", "123"), tags={"team": "risk"})
    (member,) = open_instances(ctx).list({"team": "risk"})
    assert (member.machine, member.spot, member.zone, member.state) == ("local-1x1", False, "eu", "running")
    assert member.group == "workers"


def test_defined_again_it_takes_the_new_limits(ctx: ProviderContext) -> None:
    define_group(ctx, "workers", "local-1x1", minimum=0, maximum=3, desired=2)
    kept = define_group(ctx, "workers", "local-1x1", minimum=0, maximum=3)
    assert (kept.desired, kept.running) == (2, 2)
    smaller = define_group(ctx, "workers", "local-1x1", minimum=0, maximum=1, tags={"team": "risk"})
    assert (smaller.desired, smaller.running, smaller.maximum, smaller.tags) == (1, 1, 1, {"team": "risk"})


@pytest.mark.parametrize(
    ("machine", "minimum", "maximum", "desired"),
    [("m5.large", 0, 1, 0), ("local-1x1", 2, 1, 1), ("local-1x1", -1, 1, 0), ("local-1x1", 0, 1, 2)],
)
def test_a_group_that_cannot_be_is_refused(ctx: ProviderContext, machine: str, minimum: int, maximum: int, desired: int) -> None:
    with pytest.raises(InvalidRequest):
        define_group(ctx, "workers", machine, minimum=minimum, maximum=maximum, desired=desired)
    assert open_groups(ctx).list() == []


def test_deleted_with_its_members(ctx: ProviderContext, runs: Processes) -> None:
    define_group(ctx, "workers", "local-1x1", minimum=1, maximum=3, desired=2)
    define_group(ctx, "others", "local-1x1", minimum=1, maximum=3)
    assert delete_group(ctx, "workers") is True
    assert delete_group(ctx, "workers") is False
    assert [group.name for group in open_groups(ctx).list()] == ["others"]
    assert len(open_instances(ctx).list()) == 1
    delete_group(ctx, "others")
    assert runs() == []


def test_over_quota_it_has_as_many_as_there_is_room_for(make_context: MakeContext, runs: Processes) -> None:
    ctx = make_context("eu-1", vcpu_quota=2)
    define_group(ctx, "workers", "local-1x1", minimum=0, maximum=5, desired=1)
    with pytest.raises(QuotaExceeded):
        open_groups(ctx).resize("workers", 3)
    group = open_groups(ctx).size("workers")
    assert (group.desired, group.running) == (3, 2)
    assert open_groups(replace(ctx, settings=ctx.settings.model_copy(update={"vcpu_quota": 3}))).resize("workers", 3).running == 3


def test_each_target_has_its_own_of_a_name(ctx: ProviderContext, make_context: MakeContext) -> None:
    us, every = make_context("us-1"), make_context()
    define_group(ctx, "workers", "local-1x1", minimum=0, maximum=1)
    with pytest.raises(NotFound, match="workers"):
        open_groups(us).size("workers")
    define_group(us, "workers", "local-1x1", minimum=0, maximum=2, desired=1)
    assert [group.maximum for group in open_groups(every).list()] == [1, 2]
    with pytest.raises(InvalidRequest, match="which group"):
        open_groups(every).resize("workers", 1)
    define_group(every, "shared", "local-1x1", minimum=0, maximum=1)
    assert open_groups(every).resize("shared", 1).running == 1
