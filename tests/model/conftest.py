"""Fixtures of model tests: scikit-learn's digits and a small trained network."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.data import idx
from tasks.data.convert import convert
from tasks.data.dataset import SplitArrays, read_split
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.stage import Stage
from tasks.engine.store import Store
from tasks.records import IdxFiles, Network, Segment, Split, Splits
from tasks.settings import ConvertSettings, NetworkSettings, TrainingSettings


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return the artifact root that all model tests share."""
    store = Store(tmp_path_factory.mktemp("model") / "artifacts")
    store.prepare()
    return store


@pytest.fixture(scope="session")
def run_stage(root: Store) -> Callable[..., Any]:
    """Return a function that runs a stage in a new folder, without Prefect."""
    numbers = itertools.count()

    def run(stage: Stage[..., Any], *args: Any, **kwargs: Any) -> Any:
        with root.workspace(stage.name, f"{next(numbers):012}".ljust(64, "0")) as work:
            return stage.function(work, *args, **kwargs)

    return run


@pytest.fixture(scope="session")
def save(root: Store) -> Callable[[str, bytes], FileRef]:
    """Return a function that writes a file into the root."""

    def write(name: str, content: bytes) -> FileRef:
        path = root.root / name
        path.write_bytes(content)
        return FileRef(path=name, sha256=sha256(path), size=len(content))

    return write


@pytest.fixture(scope="session")
def splits(run_stage: Callable[..., Any], save: Callable[[str, bytes], FileRef]) -> Splits:
    """Scikit-learn's digits, 8 × 8: 1,375 to train on, 125 for validation, 297 to test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    files = IdxFiles(
        train_images=save("train-images", idx.dumps(images[:1500])),
        train_labels=save("train-labels", idx.dumps(labels[:1500])),
        test_images=save("test-images", idx.dumps(images[1500:])),
        test_labels=save("test-labels", idx.dumps(labels[1500:])),
    )
    result: Splits = run_stage(convert, files, ConvertSettings(validation=125))
    return result


@pytest.fixture(scope="session")
def arrays(root: Store) -> Callable[[Split], SplitArrays]:
    """Return a function that reads a split's arrays."""
    return lambda split: read_split(root.path(split.file))


@pytest.fixture(scope="session")
def network() -> NetworkSettings:
    return NetworkSettings(conv_filters=(4, 6), conv_sizes=(3, 5), dense=(16,))


@pytest.fixture(scope="session")
def training() -> TrainingSettings:
    return TrainingSettings(seed=3, learning_rate=0.01, device="cpu")


@pytest.fixture(scope="session")
def initial(
    run_stage: Callable[..., Any],
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
) -> Network:
    """The small network before training."""
    from tasks.model.train import initialise

    result: Network = run_stage(initialise, network, splits.shape, training.seed)
    return result


@pytest.fixture(scope="session")
def train_on(
    run_stage: Callable[..., Any],
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
) -> Callable[[Network, int], Segment]:
    """Return a function that trains the small network from a checkpoint to an iteration."""
    from tasks.model.train import train

    def run(checkpoint: Network, iterations: int) -> Segment:
        result: Segment = run_stage(train, splits.train, checkpoint, training, iterations)
        return result

    return run


@pytest.fixture(scope="session")
def trained(train_on: Callable[[Network, int], Segment], initial: Network) -> Segment:
    """Return the small network after 240 iterations in one segment."""
    return train_on(initial, 240)


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a script in a new process, with TensorFlow's default logging."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}

    def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )

    return run
