"""Exported models in ONNX, run without TensorFlow."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.model.predictions import check_shape
from tasks.records import Shape
from tasks.runtime.threads import cores

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From images, uint8 [n, height, width], one at least, to probabilities, float32 [n, classes], and
features, float32 [n, neurons]."""


def open_onnx(path: Path, shape: Shape) -> Predict:
    """Open a model that `write_onnx` wrote.

    Args:
        path: of the model.
        shape: expected size of the images and number of classes.

    Raises:
        PipelineError: the model is for images of another size, or for other classes.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # errors; it warns of missing GPUs
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(cores()) or os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    (image,), (probabilities, _) = session.get_inputs(), session.get_outputs()
    _, height, width = image.shape
    check_shape(path, (height, width, probabilities.shape[1]), shape)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = session.run(["probabilities", "features"], {"image": images})
        return probabilities, features

    return predict
