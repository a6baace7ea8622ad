"""Training that is ended by a time limit, and by an environment that asks for other arithmetic."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tasks.model.device import fix_environment
from tasks.model.train import train

if TYPE_CHECKING:
    from tasks.engine.store import Store
    from tasks.records import Checkpoint, Segment, Splits
    from tasks.settings import NetworkSettings, TrainingSettings

KEY = "7" * 64
TIMES = 20


class TimeLimitError(Exception):
    """The error that Prefect's time limit raises in the main thread."""


def raise_time_limit(_number: int, _frame: object) -> None:
    raise TimeLimitError


@pytest.mark.tensorflow
def test_time_limits_at_random_moments_change_no_weight(
    root: Store,
    splits: Splits,
    initial: Checkpoint,
    network: NetworkSettings,
    training: TrainingSettings,
    trained: Segment,
) -> None:
    moments = random.Random(0)
    ended = 0
    handler = signal.signal(signal.SIGALRM, raise_time_limit)
    try:
        for attempt in range(1000):
            limit = 0.0 if ended >= TIMES else moments.uniform(0.02, 0.3)
            try:
                signal.setitimer(signal.ITIMER_REAL, limit)
                with root.workspace("train", KEY) as work:
                    segment = train.function(
                        work, splits.train, splits.shape, initial, network, training, 240
                    )
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert segment.checkpoint.file.sha256 == trained.checkpoint.file.sha256, attempt
                if ended >= TIMES:
                    return
            except TimeLimitError:
                ended += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    pytest.fail(f"only {ended} time limits came in time")


def test_variables_that_change_results_are_fixed() -> None:
    environment = {
        "HOME": "/home/me",
        "KERAS_BACKEND": "jax",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_NUM_INTRAOP_THREADS": "2",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    }
    fix_environment(environment)
    assert environment == {
        "HOME": "/home/me",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_NUM_INTRAOP_THREADS": "2",
    }


DIGEST = """
import hashlib, keras
from tasks.model.device import load_tensorflow
load_tensorflow()
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.settings import NetworkSettings
model = build_network(NetworkSettings(), Shape(height=28, width=28, classes=10), 0)
content = b"".join(weights.tobytes() for weights in model.get_weights())
print(keras.config.floatx(), hashlib.sha256(content).hexdigest())
"""


@pytest.mark.tensorflow
def test_a_users_keras_configuration_changes_no_weight(
    python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Any, monkeypatch: Any
) -> None:
    plain = python(DIGEST).stdout
    (tmp_path / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.1}')
    script = (
        f"import os; os.environ.update(KERAS_HOME={str(tmp_path)!r},"
        f" TF_ENABLE_ONEDNN_OPTS='0', KERAS_BACKEND='jax')\n{DIGEST.replace(', keras', '')}"
    ).replace("print(", "import keras; print(")
    assert python(script).stdout == plain
