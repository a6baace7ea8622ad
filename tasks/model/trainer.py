"""Trainer: a network, its optimizer, and the compiled training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.model import augment
from tasks.model.checkpoint import get_state, set_state
from tasks.model.device import layers_in, load_tensorflow, resident_type
from tasks.model.network import build_network
from tasks.records import Device, Shape
from tasks.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

TrainSteps = Callable[[Any, int, Any, Any], tuple[Any, Any]]
"""Function that trains on some batches and returns accuracy and loss, float32 scalars, on the last
one after its update. Arguments: rows of each batch, int32 [iterations, batch]; number of earlier
iterations; images [n, height, width, 1] and labels [n], as `resident` returns them."""


RISING, START = 0.3, 1 / 25
"""Share of a cycle in which the rate rises, and its first value as a share of the peak: as in
PyTorch's OneCycleLR, after Smith and Topin, "Super-convergence" (2018)."""


@dataclass(frozen=True)
class Trainer:
    """A network with its optimizer and its training loop."""

    network: "keras.Sequential"
    optimizer: "keras.optimizers.Adam"
    steps: TrainSteps

    def set_state(self, state: dict[str, np.ndarray]) -> int:
        """Restore the tensors of a checkpoint, and return its iteration."""
        return set_state(self.network, self.optimizer, state)

    def get_state(self, iteration: int) -> dict[str, np.ndarray]:
        """Return the tensors of a checkpoint."""
        return get_state(self.network, self.optimizer, iteration)


def make_trainer(
    network: NetworkSettings,
    shape: Shape,
    training: TrainingSettings,
    cycle: int | None,
    device: Device,
) -> Trainer:
    """Build and compile a trainer on a device.

    Args:
        network: layers.
        shape: size of the images and number of classes.
        training: optimizer, augmentation and loss.
        cycle: iterations of the one-cycle learning rate; None for a constant rate.
        device: processor and precision.
    """
    with load_tensorflow().device(f"/{device.kind}:0"), layers_in(device.precision):
        model = build_network(network, shape, training.seed)
        optimizer = make_optimizer(model, training, cycle)
        steps = make_train_steps(model, optimizer, training, device)
    return Trainer(model, optimizer, steps)


def one_cycle(peak: float, iterations: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return a learning rate that rises linearly to its peak and falls to zero as a cosine."""
    import keras

    rising = max(1, int(RISING * iterations))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=START * peak,
        warmup_target=peak,
        warmup_steps=rising,
        decay_steps=max(1, iterations - rising),
    )


def make_optimizer(
    network: "keras.Sequential", settings: TrainingSettings, cycle: int | None = None
) -> "keras.optimizers.Adam":
    """Return Adam, built for a network.

    Args:
        network: the network to train.
        settings: learning rate, decays and epsilon.
        cycle: iterations of a one-cycle schedule; None for a constant rate.
    """
    import keras

    adam = keras.optimizers.Adam(
        one_cycle(settings.learning_rate, cycle) if cycle else settings.learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        name="adam",
    )
    adam.build(network.trainable_variables)
    return adam


def mean_loss(labels: Any, logits: Any, label_smoothing: float = 0.0) -> Any:
    """Return the mean softmax cross-entropy, a float32 scalar.

    Args:
        labels: int32 [n].
        logits: float32 [n, classes].
        label_smoothing: probability that is spread evenly over all classes.
    """
    tf = load_tensorflow()
    if not label_smoothing:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    classes = logits.shape[1]
    targets = tf.one_hot(labels, classes) * (1 - label_smoothing) + label_smoothing / classes
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))


def make_train_steps(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Adam",
    settings: TrainingSettings,
    device: Device,
) -> TrainSteps:
    """Compile a function that trains on many batches in one call.

    Batches are gathered and scaled inside the graph, so no Python runs per iteration.

    Args:
        network: network to train.
        optimizer: built for the network.
        settings: augmentation of the images, smoothing of the labels.
        device: processor that the data set is on.
    """
    tf = load_tensorflow()
    variables = network.trainable_variables

    def batch(rows: Any, all_images: Any, all_labels: Any) -> tuple[Any, Any]:
        x = tf.cast(tf.gather(all_images, rows), tf.float32) / 255.0
        return x, tf.cast(tf.gather(all_labels, rows), tf.int32)

    # Without control flow, there is nothing for AutoGraph to translate, which takes 0.3 s.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def train_step(rows: Any, iteration: Any, all_images: Any, all_labels: Any) -> None:
        x, y = batch(rows, all_images, all_labels)
        if augment.is_enabled(settings):
            x = augment.transform_images(x, iteration, settings)
        with tf.GradientTape() as tape:
            loss = mean_loss(y, network(x, training=True), settings.label_smoothing)
        optimizer.apply(tape.gradient(loss, variables), variables)

    height, width, channels = network.input_shape[1:]
    stored_as = resident_type(device.kind)
    signature = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([None, height, width, channels], stored_as),
        tf.TensorSpec([None], stored_as),
    ]

    # The data set is an argument: TensorFlow never frees what a graph has captured.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def train_steps(
        batches: Any, iteration: Any, all_images: Any, all_labels: Any
    ) -> tuple[Any, Any]:
        for rows in batches:  # AutoGraph turns this into a loop in the graph
            train_step(rows, iteration, all_images, all_labels)
            iteration += 1
        x, y = batch(batches[-1], all_images, all_labels)
        logits = network(x)
        correct = tf.argmax(logits, axis=1, output_type=tf.int32) == y
        return tf.reduce_mean(tf.cast(correct, tf.float32)), mean_loss(y, logits)

    # Traced here, so that training time does not include compiling.
    compiled: TrainSteps = train_steps.get_concrete_function()
    return compiled
