"""What every Identity promises."""

import pytest

from mcml.providers.api.identity import Identity


class IdentityContract:
    """Give `identity`, opened with working credentials."""

    @pytest.fixture
    def identity(self) -> Identity:
        """Return the capability under test."""
        raise NotImplementedError

    def test_says_who_we_are(self, identity: Identity) -> None:
        """Account, principal and method are all known, and the same when asked again."""
        who = identity.whoami()
        assert who.account
        assert who.principal
        assert who.method
        assert identity.whoami() == who

    def test_checks_have_names_of_their_own(self, identity: Identity) -> None:
        """At least one thing is looked at, and no two checks share a name."""
        names = [check.name for check in identity.check()]
        assert names
        assert len(set(names)) == len(names)

    def test_a_failed_check_says_how_to_mend_it(self, identity: Identity) -> None:
        """Every check that is not ok has a detail and a fix."""
        for check in identity.check():
            assert check.ok or (check.detail and check.fix), check
