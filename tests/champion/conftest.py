"""Champions with models of a few bytes; the registry does not read models."""

from collections.abc import Callable

import pytest

from tasks.champion.registry import Accuracy, Champions, Facts
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import Shape


def facts(correct: int = 98, data: str = "a") -> Facts:
    return Facts(
        shape=Shape(height=8, width=8, classes=3),
        validation=Accuracy(correct=correct, total=100, data=data),
        test=Accuracy(correct=correct - 1, total=100, data="t"),
        settings={"training": {"seed": 0}},
    )


@pytest.fixture
def champions(store: Store) -> Champions:
    return Champions(store)


@pytest.fixture
def model(store: Store) -> Callable[[str], FileRef]:
    """Return a function that writes a challenger's model file with the given content."""

    def make(content: str) -> FileRef:
        path = store.root / "export" / content / "model.keras"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content * 100)
        return FileRef(
            path=path.relative_to(store.root).as_posix(),
            sha256=sha256(path),
            size=path.stat().st_size,
        )

    return make


@pytest.fixture
def promote(champions: Champions, model: Callable[[str], FileRef]) -> Callable[..., str]:
    """Return a function that promotes a model with the given content and returns its id."""

    def put(content: str, correct: int = 98, data: str = "a") -> str:
        current = champions.current_name()
        return champions.promote(
            model(content), facts(correct, data), "a test", "good", expected_current=current
        ).id

    return put
