"""What every Registry promises."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcml.core.errors import NotFound
from mcml.providers.api.registry import Registry


class RegistryContract:
    """Give `registry`, `repository`: the name of one in which nothing is, and `make_source`: makes what can be pushed, its content told
    by a number.
    """

    @pytest.fixture
    def registry(self) -> Registry:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def repository(self) -> str:
        """Return the name of an empty repository, or of one that a push makes."""
        raise NotImplementedError

    @pytest.fixture
    def make_source(self) -> Callable[[int], Path]:
        """Return a function that makes a source: the same number, the same content."""
        raise NotImplementedError

    def test_found_by_tag_and_by_digest(self, registry: Registry, repository: str, make_source: Callable[[int], Path]) -> None:
        """What was pushed is there under both names, with a size and a time."""
        pushed = registry.push(repository, make_source(1), "v1")
        assert pushed.repository == repository
        assert pushed.digest.startswith("sha256:")
        assert len(pushed.digest) == len("sha256:") + 64
        assert pushed.tags == ("v1",)
        assert pushed.size_bytes > 0
        assert pushed.pushed.tzinfo is not None
        assert registry.resolve(repository, "v1") == pushed
        assert registry.resolve(repository, pushed.digest) == pushed

    def test_the_same_content_is_stored_once(self, registry: Registry, repository: str, make_source: Callable[[int], Path]) -> None:
        """A second tag on the same digest, and still one artifact."""
        first = registry.push(repository, make_source(1), "v1")
        again = registry.push(repository, make_source(1), "v1")
        second = registry.push(repository, make_source(1), "v2")
        assert first.digest == again.digest == second.digest
        assert second.tags == ("v1", "v2")
        assert [artifact.digest for artifact in registry.list(repository)] == [first.digest]

    def test_a_tag_moves(self, registry: Registry, repository: str, make_source: Callable[[int], Path]) -> None:
        """By a push and by `tag`; the artifact it left is still there by its digest."""
        old = registry.push(repository, make_source(1), "live")
        new = registry.push(repository, make_source(2), "live")
        assert old.digest != new.digest
        assert registry.resolve(repository, "live").digest == new.digest
        assert registry.resolve(repository, old.digest).tags == ()
        moved = registry.tag(repository, old.digest, "live")
        assert (moved.digest, moved.tags) == (old.digest, ("live",))
        assert registry.tag(repository, old.digest, "live") == moved
        assert registry.resolve(repository, new.digest).tags == ()

    def test_lists_the_newest_first(self, registry: Registry, repository: str, make_source: Callable[[int], Path]) -> None:
        """Of one repository and of all."""
        pushed = [registry.push(repository, make_source(number), f"v{number}").digest for number in range(3)]
        listed = registry.list(repository)
        assert sorted(artifact.digest for artifact in listed) == sorted(pushed)
        assert [artifact.pushed for artifact in listed] == sorted((artifact.pushed for artifact in listed), reverse=True)
        assert set(pushed) <= {artifact.digest for artifact in registry.list() if artifact.repository == repository}

    def test_what_is_not_there_is_not_found(self, registry: Registry, repository: str, make_source: Callable[[int], Path]) -> None:
        """A tag, a digest, a repository, a source."""
        absent = "sha256:" + "0" * 64
        with pytest.raises(NotFound):
            registry.resolve(repository, "v1")
        registry.push(repository, make_source(1), "v1")
        for reference in ("v2", absent):
            with pytest.raises(NotFound):
                registry.resolve(repository, reference)
        with pytest.raises(NotFound):
            registry.tag(repository, absent, "v1")
        with pytest.raises(NotFound):
            registry.push(repository, make_source(1).with_name("mcml-never-existed"), "v1")
        assert registry.list(repository + "-other") == []
