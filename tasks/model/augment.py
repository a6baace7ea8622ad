"""Random transformations of training images, determined by seed and iteration."""

from math import pi
from typing import Any

import numpy as np

from tasks.model.device import load_tensorflow
from tasks.settings import TrainingSettings


def is_enabled(settings: TrainingSettings) -> bool:
    """Return whether any transformation is enabled."""
    return bool(settings.shift or settings.rotation or settings.zoom)


def transform_images(images: Any, iteration: Any, settings: TrainingSettings) -> Any:
    """Shift, rotate and zoom each image about its centre, with bilinear interpolation.

    Args:
        images: float32 tensor [n, height, width, 1]; pixels outside count as 0.
        iteration: int64 scalar tensor; part of the random seed.
        settings: largest shift, rotation and zoom; drawn uniformly in both directions.

    Returns:
        A tensor of the same shape and type as `images`.
    """
    tf = load_tensorflow()
    import keras

    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    key = int(np.random.SeedSequence(settings.seed).generate_state(1)[0])
    across, down, turn, zoom = tf.unstack(
        tf.random.stateless_uniform([4, n], [key, iteration], minval=-1.0, maxval=1.0)
    )
    angle, scale = turn * settings.rotation * pi / 180, 1.0 + zoom * settings.zoom
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # Source of each pixel of the result: x' = cos·x - sin·y + …, about the centre.
    x, y = (width - 1) / 2, (height - 1) / 2
    from_x = x - cosine * x + sine * y + across * settings.shift
    from_y = y - sine * x - cosine * y + down * settings.shift
    zero = tf.zeros_like(angle)
    transforms = tf.stack([cosine, -sine, from_x, sine, cosine, from_y, zero, zero], axis=1)
    return keras.ops.image.affine_transform(
        images, transforms, "bilinear", "constant", data_format="channels_last"
    )
