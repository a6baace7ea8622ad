"""Assertions of the state machine are told in full, like those of the tests themselves."""

import pytest

pytest.register_assert_rewrite("cache.machine")
