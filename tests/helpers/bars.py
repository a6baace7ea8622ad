"""Data set of bars on noise in three classes, learned by a small network in seconds."""

from pathlib import Path

import numpy as np

from tasks.data import idx
from tasks.data.sources.mnist import IDX_FILES

NETWORK = ("--conv-filters", "4,4", "--conv-sizes", "3,3", "--dense", "16")
TRAINING = ("--milestones", "0", "--batch-size", "16")
FIGURES = ("--test-images", "0", "--conv2-channels", "0", "--insights", "none")
OPTIONS = (*NETWORK, *TRAINING, "--learning-rate", "0.01", *FIGURES)
PARAMETERS = {
    "schedule": {"milestones": [0]},
    "training": {"batch_size": 16, "learning_rate": 0.01},
    "network": {"conv_filters": [4, 4], "conv_sizes": [3, 3], "dense": [16]},
    "figures": {"test_images": [0], "conv2_channels": [0], "insights": ["none"]},
}
"""The same settings as parameters of a deployment."""


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 [n, 8, 8], and labels, uint8 [n]."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count, dtype=np.uint8)
    images = random.integers(0, 60, (count, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[1 + 2 * label : 3 + 2 * label, 1:7] += 150
    return images, labels


def write(folder: Path, seed: int = 0) -> Path:
    """Write the four files: 1,200 images for training and validation, 200 for the test."""
    folder.mkdir(exist_ok=True)
    for names, count in zip((IDX_FILES[:2], IDX_FILES[2:]), (1200, 200), strict=True):
        for name, array in zip(names, draw(count, seed), strict=True):
            (folder / name).write_bytes(idx.dumps(array))
        seed += 1
    return folder
