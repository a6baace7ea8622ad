"""TensorFlow's threads: part of the key where they are not the default."""

import pytest

from tasks import threads
from tasks.model.train import initialise
from tasks.records import Shape
from tasks.report.metrics import measure
from tasks.settings import NetworkSettings
from tasks.store import FileRef

SHAPE = Shape(height=8, width=8, classes=3)


def test_another_number_is_another_key_of_what_uses_tensorflow(
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
