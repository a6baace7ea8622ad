"""Stage: exported model × training and validation split → what a score needs beside the model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES, write_tensors
from tasks.model.familiar import Familiar, choose_rows, learn_familiar
from tasks.model.features import compile_reader, read_all
from tasks.model.predictions import load_network
from tasks.model.temperature import fit_temperature
from tasks.records import Calibration, Model, Shape, Split


@dataclass(frozen=True)
class Calibrated:
    """Content of a calibration file."""

    familiar: Familiar
    temperature: float
    """Divisor of the logits, see temperature.py."""


@stage(libraries=(*LIBRARIES, "pyarrow", "scipy"))
def calibrate(
    work: Workspace, train: Split, validation: Split, shape: Shape, model: Model
) -> Calibration:
    """Measure how a model's probabilities and features are to be read.

    Args:
        work: inputs and outputs.
        train: the training split; some of its images become the familiar ones.
        validation: the validation split, for the temperature and the limit of the distance.
        shape: size of the images and number of classes.
        model: exported network.
    """
    read = compile_reader(load_network(work.input(model.file), shape), shape.height, shape.width)
    held_out = read_split(work.input(validation.file))
    features, logits = read_all(read, held_out.images)
    images = read_split(work.input(train.file)).images
    rows = choose_rows(len(images), features.shape[1])
    familiar = learn_familiar(read_all(read, images[rows])[0], features)
    tensors = {
        "familiar": familiar.features,
        "limit": np.array(familiar.limit),
        "temperature": np.array(fit_temperature(logits, held_out.labels)),
    }
    write_tensors(tensors, work.output("calibration.safetensors"))
    return Calibration(file=work.finished("calibration.safetensors"))


def load_calibration(path: Path) -> Calibrated:
    """Load the file that `calibrate` wrote."""
    tensors = load_file(path)
    familiar = Familiar(tensors["familiar"], float(tensors["limit"]))
    return Calibrated(familiar, float(tensors["temperature"]))
