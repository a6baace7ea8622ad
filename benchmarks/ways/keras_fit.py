"""Keras's own loop, `Model.fit`; the second argument is `steps_per_execution`."""

import sys

import keras
import numpy as np
from keras import layers

from benchmarks.ways import clock

images, labels, batches = clock.data()
initial = {
    "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.05, seed=0),
    "bias_initializer": keras.initializers.Constant(0.05),
}
model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 5, padding="same", **initial),
        layers.MaxPooling2D(2),
        layers.ReLU(),
        layers.Conv2D(36, 5, padding="same", **initial),
        layers.MaxPooling2D(2),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(128, activation="relu", **initial),
        layers.Dense(10, **initial),
    ]
)
model.compile(
    keras.optimizers.Adam(1e-4, epsilon=1e-8),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    steps_per_execution=int(sys.argv[2]),
)


def train(rows: np.ndarray) -> None:
    order = rows.ravel()
    x = images[order, ..., np.newaxis].astype(np.float32) / 255
    model.fit(x, labels[order], batch_size=rows.shape[1], shuffle=False, verbose=0)


clock.measure(train, batches)
