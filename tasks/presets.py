"""Named settings: what `--preset` sets, where nothing else is said.

Plain values, so that a preset can be changed without anything but its own runs running again.
"""

from typing import Any, Literal

Preset = Literal["tutorial", "fast"]

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
        },
    },
}
