"""This project's training loop, as the stage `train` runs it."""

import numpy as np

from benchmarks.ways import clock
from tasks.model.checkpoint import make_optimizer
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.model.processing import choose_processing, placed_on
from tasks.model.train import make_train_steps
from tasks.records import Shape
from tasks.settings import NetworkSettings, TrainingSettings

REPORT_EVERY = 100

load_tensorflow()
images, labels, batches = clock.data()
settings, layers = TrainingSettings(precision="float32"), NetworkSettings()
device = choose_processing(settings, layers)
with placed_on(device):
    network = build_network(layers, Shape(height=28, width=28, classes=10), seed=0)
    optimizer = make_optimizer(network, settings)
    steps = make_train_steps(network, optimizer, images, labels, settings, device)


def train(rows: np.ndarray) -> None:
    for start in range(0, len(rows), REPORT_EVERY):
        steps(rows[start : start + REPORT_EVERY], start)


clock.measure(train, batches)
