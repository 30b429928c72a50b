import pytest

pytest.register_assert_rewrite("mcml.testing.contracts")
