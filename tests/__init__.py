"""Tests: the folder says what is real; ``stack`` brings it up."""

import pytest

# Asserts there tell what they compare, as those of test files do.
pytest.register_assert_rewrite("tests.stack")
