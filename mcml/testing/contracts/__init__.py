"""One class of tests per capability: a provider that passes it keeps the promises of the protocol's docstrings.

A plugin subclasses the class in its own tests and gives the fixtures, which raise NotImplementedError here:

    from mcml.testing.contracts.identity import IdentityContract

    class TestIdentity(IdentityContract):
        @pytest.fixture
        def identity(self) -> Identity:
            return open_identity(context)

For readable failures, `pytest.register_assert_rewrite("mcml.testing.contracts")` stands at the top of the plugin's conftest.py.
"""
