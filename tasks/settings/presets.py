"""Named settings: values of `--preset`, unless other values are given.

Presets are plain values: a changed preset reruns only its own runs.
"""

from typing import Any, Literal

Preset = Literal["tutorial", "fast", "best"]

PRESETS: dict[Preset, dict[str, Any]] = {
    # The defaults.
    "tutorial": {},
    # The same network in a small part of the time: one cycle with a peak learning rate a hundred
    # times as high. Chosen on the validation split (benchmarks/NOTES.md).
    "fast": {
        "schedule": {"iterations": 500},
        "training": {
            "learning_rate": 1e-2,
            "rate_schedule": "one-cycle",
            "beta_1": 0.7,
            "beta_2": 0.9,
            "label_smoothing": 0.1,
        },
        "drawn": 0.1,
    },
    # One more layer, wider layers, normalisation, and eighteen epochs of augmented images.
    # Chosen on the validation split; what else was tried: benchmarks/NOTES.md.
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
        },
        "drawn": 0.1,
    },
}
