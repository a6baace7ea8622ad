"""Rewriting of the state machine's assertions, as in test modules."""

import pytest

pytest.register_assert_rewrite("engine.cache.machine")
