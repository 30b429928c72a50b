"""What every Database promises."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from mcml.core.errors import NotFound
from mcml.providers.api.database import Database


class DatabaseContract:
    """Give `database` and `names`: the names of at least one that exists, those with a replica first.

    `replicated` is how many of them have one.
    """

    replicated = 0

    @pytest.fixture
    def database(self) -> Database:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def names(self) -> list[str]:
        """Return the names of databases."""
        raise NotImplementedError

    def test_described(self, database: Database, names: list[str]) -> None:
        """One by its name, all without; engine, version and state are known."""
        assert {info.name for info in database.describe()} >= set(names)
        for name in names:
            (info,) = database.describe(name)
            assert info.name == name
            assert info.engine
            assert info.version
            assert info.state
        assert database.describe("mcml-never-existed") == []

    def test_access_holds_no_password_in_the_url(self, database: Database, names: list[str]) -> None:
        """A SQLAlchemy URL with a dialect; a password is apart, and does not show."""
        for name in names:
            access = database.access(name)
            parts = urlsplit(access.url)
            assert parts.scheme
            assert not parts.password
            if access.password is not None:
                assert access.password.reveal() not in repr(access)

    def test_the_lag_is_of_a_replica(self, database: Database, names: list[str]) -> None:
        """A length of time where there is one, None where there is none."""
        lags = [database.replica_lag(name) for name in names]
        assert all(lag is not None and lag >= timedelta(0) for lag in lags[: self.replicated])
        assert lags[self.replicated :] == [None] * (len(names) - self.replicated)
        assert [bool(database.describe(name)[0].replicas) for name in names] == [lag is not None for lag in lags]

    def test_one_that_never_was_is_not_found(self, database: Database) -> None:
        """By access and by replica_lag."""
        with pytest.raises(NotFound):
            database.access("mcml-never-existed")
        with pytest.raises(NotFound):
            database.replica_lag("mcml-never-existed")
