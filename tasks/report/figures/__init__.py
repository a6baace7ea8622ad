"""Functions that draw matplotlib figures from arrays.

They are pure and use no global state (no pyplot), so stages can draw in several threads at the
same time.
"""

from tasks.report.figures.canvas import largest, save
from tasks.report.figures.images import (
    SHOWN_CLASSES,
    confidences,
    confused_pair_grid,
    example_errors,
    image_grid,
    single_image,
)
from tasks.report.figures.insight import attributions, embedding_map, exciting_inputs
from tasks.report.figures.layers import conv_weights, flow, output_grid
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
    "confused_pair_grid",
    "confusion_matrix",
    "conv_weights",
    "embedding_map",
    "example_errors",
    "exciting_inputs",
    "flow",
    "image_grid",
    "largest",
    "learning_curve",
    "output_grid",
    "save",
    "single_image",
]
