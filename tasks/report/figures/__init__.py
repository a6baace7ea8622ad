"""Functions that draw matplotlib figures from arrays.

They are pure and use no global state (no pyplot), so stages can draw in several threads at the
same time.
"""

from tasks.report.figures.canvas import largest, save
from tasks.report.figures.images import (
    SHOWN_CLASSES,
    confidences,
    confused_pairs,
    example_errors,
    image_grid,
    single_image,
)
from tasks.report.figures.insight import attributions, embedding_map, exciting_inputs
from tasks.report.figures.layers import conv_weights, flow, layer_outputs
from tasks.report.figures.scores import (
    calibration,
    class_scores,
    confusion_matrix,
    learning_curve,
)

__all__ = [
    "SHOWN_CLASSES",
    "attributions",
    "calibration",
    "class_scores",
    "confidences",
    "confused_pairs",
    "confusion_matrix",
    "conv_weights",
    "embedding_map",
    "example_errors",
    "exciting_inputs",
    "flow",
    "image_grid",
    "largest",
    "layer_outputs",
    "learning_curve",
    "save",
    "single_image",
]
