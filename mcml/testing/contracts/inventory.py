"""What every Inventory promises."""

import pytest

from mcml.core.errors import Conflict
from mcml.providers.api.inventory import Inventory, Resource


class InventoryContract:
    """Give `inventory`, `tagged`: a resource that exists, has at least one tag of its own and is in nobody's way, and `blocked`: one
    that exists and cannot be deleted as it is.
    """

    @pytest.fixture
    def inventory(self) -> Inventory:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def tagged(self) -> Resource:
        """Return a resource that can be deleted."""
        raise NotImplementedError

    @pytest.fixture
    def blocked(self) -> Resource:
        """Return a resource that something blocks."""
        raise NotImplementedError

    def test_found_by_each_of_its_tags(self, inventory: Inventory, tagged: Resource) -> None:
        """By all of them, by any one of them, and without any; never with a tag that it has not, or with another value."""
        assert tagged in inventory.find_by_tag(tagged.tags)
        assert tagged in inventory.find_by_tag({})
        for key, value in tagged.tags.items():
            assert tagged in inventory.find_by_tag({key: value})
            assert tagged not in inventory.find_by_tag({key: value + "-other"})
        assert inventory.find_by_tag({**tagged.tags, "mcml-no-such-tag": "1"}) == []

    def test_deleted_once(self, inventory: Inventory, tagged: Resource) -> None:
        """It blocks nothing, goes, is found no more, and a second delete finds nothing."""
        assert inventory.blockers([tagged]) == []
        assert inventory.delete(tagged) is True
        assert tagged not in inventory.find_by_tag({})
        assert inventory.delete(tagged) is False

    def test_a_blocker_says_what_and_how(self, inventory: Inventory, blocked: Resource) -> None:
        """Delete is refused while it stands, and the resource is still there."""
        (blocker, *_) = inventory.blockers([blocked])
        assert blocker.resource == blocked
        assert blocker.reason
        assert blocker.fix
        with pytest.raises(Conflict):
            inventory.delete(blocked)
        assert blocked in inventory.find_by_tag({})

    def test_what_is_gone_blocks_nothing(self, inventory: Inventory) -> None:
        """A resource that never existed."""
        ghost = Resource("target", "mcml-never-existed", "nowhere")
        assert inventory.delete(ghost) is False
        assert inventory.blockers([ghost]) == []
