"""What every Groups promises."""

import time

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.groups import Group, Groups


class GroupsContract:
    """Give `groups` and `group`: the name of one with the limits 0 and 3, a wanted size of 1 and at least one tag.

    `patience` is how many seconds a group may take to reach its size.
    """

    patience = 30.0

    @pytest.fixture
    def groups(self) -> Groups:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def group(self) -> str:
        """Return the name of a group."""
        raise NotImplementedError

    def wait(self, groups: Groups, group: str, running: int) -> Group:
        """Wait until so many members run."""
        end = time.monotonic() + self.patience
        while (found := groups.size(group)).running != running and time.monotonic() < end:
            time.sleep(0.02)
        assert found.running == running
        return found

    def test_says_what_it_is(self, groups: Groups, group: str) -> None:
        """Name, type, limits, wanted and actual size."""
        found = self.wait(groups, group, 1)
        assert (found.name, found.desired, found.minimum, found.maximum) == (group, 1, 0, 3)
        assert found.machine
        assert found.tags

    def test_listed_by_all_of_its_tags(self, groups: Groups, group: str) -> None:
        """Without tags too, and not with one that it has not."""
        tags = groups.size(group).tags
        assert group in [found.name for found in groups.list()]
        assert group in [found.name for found in groups.list(tags)]
        assert groups.list({**tags, "mcml-no-such-tag": "1"}) == []

    def test_grows_and_shrinks(self, groups: Groups, group: str) -> None:
        """To its limits, and to the same size again."""
        for size in (3, 3, 1, 0, 2):
            assert groups.resize(group, size).desired == size
            assert self.wait(groups, group, size).desired == size

    def test_stays_within_its_limits(self, groups: Groups, group: str) -> None:
        """A size outside is refused and changes nothing."""
        for size in (4, -1):
            with pytest.raises(InvalidRequest):
                groups.resize(group, size)
        assert groups.size(group).desired == 1

    def test_a_group_that_never_was_is_not_found(self, groups: Groups) -> None:
        """By size and resize."""
        with pytest.raises(NotFound):
            groups.size("mcml-never-existed")
        with pytest.raises(NotFound):
            groups.resize("mcml-never-existed", 1)
