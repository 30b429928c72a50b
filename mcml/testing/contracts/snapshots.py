"""What every Snapshots promises."""

import time
from collections.abc import Callable

import pytest

from mcml.core.errors import Conflict, NotFound
from mcml.providers.api.snapshots import Snapshot, Snapshots


class SnapshotsContract:
    """Give `snapshots`, `sources`: the names of two disks or databases with different content, `new_name`: a name that none has, and
    `fingerprint`: tells the content of a disk or database by its name.

    `patience` is how many seconds a copy may take.
    """

    patience = 30.0

    @pytest.fixture
    def snapshots(self) -> Snapshots:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def sources(self) -> tuple[str, str]:
        """Return two names."""
        raise NotImplementedError

    @pytest.fixture
    def new_name(self) -> str:
        """Return a name that is free."""
        raise NotImplementedError

    @pytest.fixture
    def fingerprint(self) -> Callable[[str], object]:
        """Return a function whose answer is equal for equal content."""
        raise NotImplementedError

    def wait(self, snapshots: Snapshots, taken: Snapshot) -> Snapshot:
        """Wait until a snapshot is complete."""
        end = time.monotonic() + self.patience
        while not (found := next(one for one in snapshots.list() if one.id == taken.id)).complete and time.monotonic() < end:
            time.sleep(0.02)
        assert found.complete
        return found

    def test_taken_and_listed(self, snapshots: Snapshots, sources: tuple[str, str]) -> None:
        """With its source, size and tags; newest first; of a source only its own."""
        first = self.wait(snapshots, snapshots.create(sources[0], token="t1", tags={"team": "risk"}))  # noqa: S106
        second = self.wait(snapshots, snapshots.create(sources[0], token="t2"))  # noqa: S106
        other = self.wait(snapshots, snapshots.create(sources[1], token="t3"))  # noqa: S106
        assert first.tags.items() >= {"team": "risk"}.items()
        assert first.size_bytes > 0
        assert first.source == second.source != other.source
        assert [one.id for one in snapshots.list(sources[0])] == [second.id, first.id]
        assert [one.id for one in snapshots.list(first.source)] == [second.id, first.id]
        assert {first.id, second.id, other.id} <= {one.id for one in snapshots.list()}

    def test_the_same_token_is_the_same_snapshot(self, snapshots: Snapshots, sources: tuple[str, str]) -> None:
        """However often it is asked."""
        taken = [snapshots.create(sources[0], token="t1").id for _ in range(3)]  # noqa: S106
        assert len(set(taken)) == 1
        assert [one.id for one in snapshots.list(sources[0])] == taken[:1]

    def test_restored_into_a_new_one(
        self, snapshots: Snapshots, sources: tuple[str, str], new_name: str, fingerprint: Callable[[str], object]
    ) -> None:
        """With the same content; the source stays; a copy of the copy can be taken."""
        before = fingerprint(sources[0])
        taken = self.wait(snapshots, snapshots.create(sources[0], token="t1"))  # noqa: S106
        restored = snapshots.restore(taken.id, new_name)
        assert fingerprint(restored) == fingerprint(sources[0]) == before
        assert fingerprint(restored) != fingerprint(sources[1])
        again = self.wait(snapshots, snapshots.create(restored, token="t2"))  # noqa: S106
        assert again.source != taken.source

    def test_never_over_what_exists(self, snapshots: Snapshots, sources: tuple[str, str], fingerprint: Callable[[str], object]) -> None:
        """Conflict, and it is as it was."""
        before = fingerprint(sources[1])
        taken = self.wait(snapshots, snapshots.create(sources[0], token="t1"))  # noqa: S106
        for existing in sources:
            with pytest.raises(Conflict):
                snapshots.restore(taken.id, existing)
        assert fingerprint(sources[1]) == before

    def test_deleted(self, snapshots: Snapshots, sources: tuple[str, str], new_name: str) -> None:
        """Twice; then it cannot be restored."""
        taken = self.wait(snapshots, snapshots.create(sources[0], token="t1"))  # noqa: S106
        snapshots.delete(taken.id)
        snapshots.delete(taken.id)
        assert snapshots.list(sources[0]) == []
        with pytest.raises(NotFound):
            snapshots.restore(taken.id, new_name)

    def test_what_is_not_there_is_not_found(self, snapshots: Snapshots, new_name: str) -> None:
        """A source and a snapshot."""
        with pytest.raises(NotFound):
            snapshots.create("mcml-never-existed", token="t1")  # noqa: S106
        with pytest.raises(NotFound):
            snapshots.restore("mcml-never-existed", new_name)
        assert snapshots.list("mcml-never-existed") == []
