"""Named settings: values of `--preset`, unless other values are given.

Plain values, so that a preset can be changed without anything but its own runs running again.
"""

from typing import Any, Literal

Preset = Literal["tutorial", "fast", "best"]

PRESETS: dict[Preset, dict[str, dict[str, Any]]] = {
    # The defaults themselves.
    "tutorial": {},
    # The same network in a fraction of the time: one cycle of a learning rate that is sixty
    # times as high at its peak.
    "fast": {
        "schedule": {"iterations": 660},
        "training": {
            "learning_rate": 6e-3,
            "rate_schedule": "one-cycle",
            "label_smoothing": 0.1,
            "drawn": 0.1,
        },
    },
    # One more layer, wider ones, normalised, and eighteen epochs of images that are never twice
    # the same. Chosen on the validation split.
    "best": {
        "schedule": {"iterations": 8600},
        "network": {
            "conv_filters": [32, 64, 128],
            "conv_sizes": [5, 3, 3],
            "normalisation": True,
            "dropout": 0.3,
            "initial_weights": "he",
            "initial_bias": 0.0,
        },
        "training": {
            "batch_size": 128,
            "learning_rate": 8e-3,
            "rate_schedule": "one-cycle",
            "label_smoothing": 0.1,
            "shift": 2,
            "rotation": 10,
            "zoom": 0.1,
            "drawn": 0.1,
        },
    },
}
