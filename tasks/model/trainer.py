"""What trains: a network, its optimiser, and the compiled loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.model import augment
from tasks.model.checkpoint import get_state, make_optimizer, set_state
from tasks.model.device import load_tensorflow
from tasks.model.forward import forward
from tasks.model.network import build_network
from tasks.model.placement import resident_type
from tasks.model.precision import layers_in, scale_losses, scale_state, set_scale
from tasks.model.replicas import on_replicas, replicate
from tasks.records import Device, Shape
from tasks.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

TrainSteps = Callable[[Any, int, Any, Any], tuple[Any, Any]]
"""From the rows of each batch, int32 [iterations, batch], the number of iterations before, and the
data set as `resident` gives it, images [n, height, width, 1] and labels [n], to the accuracy and
loss on the last batch, measured after its update."""


@dataclass(frozen=True)
class Trainer:
    """A network that can be trained; what it has learnt is put in and taken out."""

    network: "keras.Sequential"
    adam: "keras.optimizers.Adam"
    optimizer: "keras.optimizers.Optimizer"
    """Adam, or what scales the loss for it."""
    steps: TrainSteps

    def set_state(self, state: dict[str, np.ndarray]) -> int:
        """Put a checkpoint's tensors in; returns its iteration."""
        set_scale(self.optimizer, state)
        return set_state(self.network, self.adam, state)

    def get_state(self, iteration: int) -> dict[str, np.ndarray]:
        """The tensors of a checkpoint."""
        return get_state(self.network, self.adam, iteration) | scale_state(self.optimizer)


def make_trainer(
    network: NetworkSettings,
    shape: Shape,
    training: TrainingSettings,
    cycle: int | None,
    device: Device,
) -> Trainer:
    """A trainer, compiled; called in `placed_on(device)`.

    Args:
        network: its layers.
        shape: of the images, and the number of classes.
        training: optimiser, and what is done with a batch.
        cycle: iterations of the learning rate's one cycle; None if the rate is constant.
        device: what it is trained on and how.
    """
    with layers_in(device.precision):
        model = build_network(network, shape, training.seed)
    if device.replicas > 1:
        model = replicate(model)
    adam = make_optimizer(model, training, cycle)
    mixed = device.precision == "mixed_float16"
    optimizer = scale_losses(adam, model) if mixed else adam
    return Trainer(model, adam, optimizer, make_train_steps(model, optimizer, training, device))


def make_train_steps(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Optimizer",
    settings: TrainingSettings,
    device: Device,
) -> TrainSteps:
    """A compiled function that trains on many batches in one call.

    A batch is gathered and scaled inside the graph, so that Python has nothing to do per
    iteration.

    Args:
        network: what is trained.
        optimizer: built for the network.
        settings: how images are moved and labels smoothed.
        device: what it is trained on and how; this is called in `placed_on(device)`.
    """
    tf = load_tensorflow()

    def batch(rows: Any, all_images: Any, all_labels: Any) -> tuple[Any, Any]:
        x = tf.cast(tf.gather(all_images, rows), tf.float32) / 255.0
        return x, tf.cast(tf.gather(all_labels, rows), tf.int32)

    def mean_loss(y: Any, logits: Any) -> Any:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))

    def training_loss(y: Any, logits: Any) -> Any:
        if not settings.label_smoothing:
            return mean_loss(y, logits)
        classes, share = logits.shape[1], settings.label_smoothing
        spread = tf.one_hot(y, classes) * (1 - share) + share / classes
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(spread, logits))

    # Replicas and mixed precision are a matter of the layers' own calls.
    by_hand = device.replicas == 1 and device.precision == "float32"

    def gradients(x: Any, y: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            logits = forward(network, x) if by_hand else network(x, training=True)
            loss = optimizer.scale_loss(training_loss(y, logits))
        return tape.gradient(loss, network.trainable_variables)  # type: ignore[no-any-return]

    def apply(found: list[Any]) -> None:
        optimizer.apply(found, network.trainable_variables)

    def update(x: Any, y: Any) -> None:
        apply(gradients(x, y))

    if device.replicas > 1:
        update = on_replicas(gradients, apply)  # type: ignore[assignment]
    elif device.xla:
        update = tf.function(update, jit_compile=True)

    def train_step(rows: Any, iteration: Any, *data: Any) -> None:
        x, y = batch(rows, *data)
        if augment.wanted(settings):
            x = augment.move_images(x, iteration, settings)
        update(x, y)

    height, width, channels = network.input_shape[1:]
    kept_as = resident_type(device.kind)
    signature = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([None, height, width, channels], kept_as),
        tf.TensorSpec([None], kept_as),
    ]

    # The data set is an argument: TensorFlow would never let go of what the graph has captured.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def train_steps(
        batches: Any, iteration: Any, all_images: Any, all_labels: Any
    ) -> tuple[Any, Any]:
        for rows in batches:  # AutoGraph makes this a loop in the graph
            train_step(rows, iteration, all_images, all_labels)
            iteration += 1
        x, y = batch(batches[-1], all_images, all_labels)
        logits = network(x)
        correct = tf.argmax(logits, axis=1, output_type=tf.int32) == y
        return tf.reduce_mean(tf.cast(correct, tf.float32)), mean_loss(y, logits)

    # Traced here, so that compiling is no part of the training time.
    compiled: TrainSteps = train_steps.get_concrete_function()
    return compiled
