"""Small random movements of the training images, the same for the same seed and iteration."""

from math import pi
from typing import Any

import numpy as np

from tasks.model.device import load_tensorflow
from tasks.settings import TrainingSettings


def wanted(settings: TrainingSettings) -> bool:
    """Whether the images are moved at all."""
    return bool(settings.shift or settings.rotation or settings.zoom)


def move_images(images: Any, iteration: Any, settings: TrainingSettings) -> Any:
    """Shift, turn and zoom each image about its middle, with bilinear interpolation.

    Args:
        images: tensor float32 [n, height, width, 1], zero outside.
        iteration: int64 tensor; each has movements of its own.
        settings: how far at most; drawn evenly from both directions.

    Returns:
        A tensor like `images`.
    """
    tf = load_tensorflow()
    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    key = int(np.random.SeedSequence(settings.seed).generate_state(1)[0])
    across, down, turn, zoom = tf.unstack(
        tf.random.stateless_uniform([4, n], [key, iteration], minval=-1.0, maxval=1.0)
    )
    angle, scale = turn * settings.rotation * pi / 180, 1.0 + zoom * settings.zoom
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # Where each place of the result comes from: x' = cos·x - sin·y + …, about the middle.
    x, y = (width - 1) / 2, (height - 1) / 2
    from_x = x - cosine * x + sine * y + across * settings.shift
    from_y = y - sine * x - cosine * y + down * settings.shift
    zero = tf.zeros_like(angle)
    transforms = tf.stack([cosine, -sine, from_x, sine, cosine, from_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
