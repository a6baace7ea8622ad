"""Calibration files: how the answers of a model are to be read."""

from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

from tasks.model.familiar import Familiar


@dataclass(frozen=True)
class Calibrated:
    """Content of a calibration file."""

    familiar: Familiar
    temperature: float
    """Divisor of the logits, see temperature.py."""


def load_calibration(path: Path) -> Calibrated:
    """Load the file that the stage `calibrate` wrote."""
    tensors = load_file(path)
    familiar = Familiar(tensors["familiar"], float(tensors["limit"]))
    return Calibrated(familiar, float(tensors["temperature"]))
