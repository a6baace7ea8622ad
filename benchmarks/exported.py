"""Answers of model.onnx beside those of model.keras, on every image of a run's three splits.

python -m benchmarks.exported artifacts/latest
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tasks.data.dataset import read_split
from tasks.model.device import load_tensorflow
from tasks.model.onnx_session import open_onnx
from tasks.model.predictions import compile_classifier
from tasks.records import Shape

BATCH = 1000
LARGEST = 1e-5
"""Difference of probabilities that is allowed."""


def compare(folder: Path) -> tuple[int, int, float]:
    """Compare the two exported models of a run.

    Args:
        folder: `artifacts/latest`, or another one with the same files.

    Returns:
        Number of images, number of them with another class, and the largest difference between
        two probabilities.
    """
    load_tensorflow()
    import keras

    network = keras.models.load_model(folder / "model.keras", compile=False)
    _, height, width, _ = network.input_shape
    shape = Shape(height=height, width=width, classes=network.output_shape[-1])
    with_keras = compile_classifier(network, shape)
    with_onnx = open_onnx(folder / "model.onnx", shape)
    images = others = 0
    largest = 0.0
    for split in ("train", "validation", "test"):
        pixels = read_split(folder / f"{split}.parquet").images
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            ours, (theirs, _) = with_keras(part), with_onnx(part)
            images += len(part)
            others += int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
            largest = max(largest, float(np.abs(ours - theirs).max()))
    return images, others, largest


def main() -> int:
    """Compare the models in the folders named on the command line."""
    parser = argparse.ArgumentParser(description="Compare model.onnx with model.keras")
    parser.add_argument("folders", type=Path, nargs="+", help="such as artifacts/latest")
    code = 0
    for folder in parser.parse_args().folders:
        images, others, largest = compare(folder)
        print(
            f"{folder}: {images:,} images, {others} with another class, probabilities differ by"
            f" {largest:.1e} at most",
            flush=True,
        )
        code |= others > 0 or largest > LARGEST
    return code


if __name__ == "__main__":
    sys.exit(main())
