"""This project's training loop, as the stage `train` runs it, in float32 or another precision."""

import sys

import numpy as np

from benchmarks.ways import clock
from tasks.model.device import choose_device, load_tensorflow, resident
from tasks.model.trainer import make_trainer
from tasks.records import Shape
from tasks.settings import NetworkSettings, TrainingSettings

REPORT_EVERY = 100

load_tensorflow()
images, labels, batches = clock.data()
precision = sys.argv[2] if len(sys.argv) > 2 else "float32"
settings = TrainingSettings.model_validate({"precision": precision})
device = choose_device(settings)
with load_tensorflow().device(f"/{device.kind}:0"):
    shape = Shape(height=28, width=28, classes=10)
    steps = make_trainer(NetworkSettings(), shape, settings, None, device).steps
    kept = resident(images[..., np.newaxis], device.kind), resident(labels, device.kind)


def train(rows: np.ndarray) -> None:
    for start in range(0, len(rows), REPORT_EVERY):
        steps(rows[start : start + REPORT_EVERY], start, *kept)


clock.measure(train, batches)
