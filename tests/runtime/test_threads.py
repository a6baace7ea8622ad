"""Tests of the number of threads: cache keys."""

import pytest

from tasks.engine.models import FileRef
from tasks.model.metrics import measure
from tasks.model.train import initialise
from tasks.records import Shape
from tasks.runtime import threads
from tasks.settings import NetworkSettings

SHAPE = Shape(height=8, width=8, classes=3)


def test_other_number_of_threads_changes_keys_of_tensorflow_stages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = FileRef(path="evaluate/0/x", sha256="0" * 64, size=1)

    def keys() -> tuple[str, str]:
        return initialise.plan(SHAPE, NetworkSettings(), 0).key, measure.plan(file, 3).key

    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    default = keys()
    monkeypatch.setenv(threads.VARIABLES[0], str(threads.DEFAULT_THREADS))
    assert keys() == default
    monkeypatch.setenv(threads.VARIABLES[0], "1")
    assert keys()[0] != default[0]
    assert keys()[1] == default[1]
