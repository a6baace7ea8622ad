"""Stage: network × test split × predictions → payload of the page's live network."""

from safetensors.numpy import load_file

from tasks.data.dataset import read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.calibration import load_calibration
from tasks.model.prediction_table import class_probabilities, read_predictions
from tasks.records import Calibration, LiveNetwork, Network, Split
from tasks.report.live.payload import pack

WEIGHTS = "weights/"
"""Prefix of the names of weights in a checkpoint."""


@stage()
def pack_live(
    work: Workspace,
    split: Split,
    network: Network,
    predictions: FileRef,
    class_names: tuple[str, ...],
    calibration: Calibration,
) -> LiveNetwork:
    """Pack the trained network and some test images into one text for the report page.

    Args:
        work: inputs and outputs.
        split: the test split.
        network: the trained network.
        predictions: of the network for the split; see `Evaluation.predictions`.
        class_names: names of the classes.
        calibration: how its answers are to be read, as scoring reads them.
    """
    table = read_predictions(work.input(predictions))
    packed = pack(
        network.layers,
        network.shape,
        {
            name.removeprefix(WEIGHTS): tensor
            for name, tensor in load_file(work.input(network.checkpoint)).items()
            if name.startswith(WEIGHTS)
        },
        read_split(work.input(split.file)).images,
        table["label"].to_numpy(),
        table["predicted"].to_numpy(),
        class_probabilities(table),
        list(class_names),
        load_calibration(work.input(calibration.file)),
    )
    if packed.text is None:
        return LiveNetwork(file=None, reason=packed.reason)
    work.output("live.json").write_text(packed.text, encoding="utf-8")
    return LiveNetwork(file=work.finished("live.json"), reason="")
