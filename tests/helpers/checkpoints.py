"""Access to the tensors of checkpoints."""

import numpy as np

Tensors = dict[str, np.ndarray]


def by_layer(state: Tensors, kind: str) -> Tensors:
    """Return a checkpoint's tensors of a kind, e.g. `adam/momentum`, by name, e.g. `fc1/bias`."""
    return {
        "/".join(name.split("/")[-2:]): values.astype(np.float64)
        for name, values in state.items()
        if name.startswith(f"{kind}/")
    }
