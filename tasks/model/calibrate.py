"""Stage: exported model × training and validation split → what a score needs beside the model."""

import numpy as np

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import write_tensors
from tasks.model.familiar import choose_rows, learn_familiar
from tasks.model.features import compile_reader, read_all
from tasks.model.onnx_graph import write_onnx
from tasks.model.predictions import load_network
from tasks.model.temperature import fit_temperature
from tasks.records import Calibration, Model, Shape, Split


@stage()
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
    network = load_network(work.input(model.file), shape)
    read = compile_reader(network, shape.height, shape.width)
    held_out = read_split(work.input(validation.file))
    features, logits = read_all(read, held_out.images)
    images = read_split(work.input(train.file)).images
    rows = choose_rows(len(images), features.shape[1])
    familiar = learn_familiar(read_all(read, images[rows])[0], features)
    temperature = fit_temperature(logits, held_out.labels)
    tensors = {
        "familiar": familiar.features,
        "limit": np.array(familiar.limit),
        "temperature": np.array(temperature),
    }
    write_tensors(tensors, work.output("calibration.safetensors"))
    write_onnx(network, work.output("model.onnx"), temperature)
    return Calibration(
        file=work.finished("calibration.safetensors"), onnx=work.finished("model.onnx")
    )
