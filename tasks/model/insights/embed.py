"""Stage: checkpoint × test images → a map of them as the last hidden layer sees them."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES, restore_network
from tasks.model.device import load_tensorflow
from tasks.model.insights.layer_outputs import layer_tensors
from tasks.records import Checkpoint, Embedding, Shape, Split
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras

SAMPLE = 1_500
"""Images on the map: t-SNE takes more than twice as long for twice as many."""
COMPONENTS = 30
PERPLEXITY = 30
"""Both as in L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008),
section 4.2 (perplexity 40 there; 30 is scikit-learn's default)."""
FEWEST = 8
"""Of fewer images there is no neighbourhood to speak of."""
SEED = 0
BATCH = 256


def sample(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Which images are on the map: errors first, up to half of it, the rest at random.

    Args:
        true, predicted: [n].

    Returns:
        int [at most SAMPLE], ascending rows.
    """
    order = np.random.default_rng(SEED).permutation(len(true))
    wrong = order[true[order] != predicted[order]][: SAMPLE // 2]
    others = order[~np.isin(order, wrong)][: SAMPLE - len(wrong)]
    return np.sort(np.concatenate([wrong, others]))


def features(network: "keras.Sequential", images: np.ndarray) -> tuple[str, np.ndarray]:
    """What the last layer before the logits makes of images; of the only layer, the logits.

    Args:
        network: the whole network.
        images: uint8 [n, height, width].

    Returns:
        Name of the layer, and its outputs as float32 [n, features].
    """
    import keras

    name, tensor = list(layer_tensors(network).items())[-2:][0]
    looking_in = keras.Model(network.inputs[0], tensor)
    parts = [
        np.asarray(looking_in(images[i : i + BATCH, ..., np.newaxis].astype(np.float32) / 255))
        for i in range(0, len(images), BATCH)
    ]
    return name, np.concatenate(parts).reshape(len(images), -1)


def map_points(points: np.ndarray) -> np.ndarray:
    """Places on a plane that keep neighbours together: PCA, then t-SNE.

    On one thread: how many there are would change the order of sums, and t-SNE makes much
    of the last bit.

    Args:
        points: float32 [n, features].

    Returns:
        float32 [n, 2], to a hundredth: the map is some 100 wide, and more could not be seen.
        All in one place where there is nothing to tell apart; NaN if points are not finite.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if not np.isfinite(points).all():
        return np.full((len(points), 2), np.nan, np.float32)
    if len(points) < FEWEST or np.ptp(points, axis=0).max() == 0:
        return np.zeros((len(points), 2), np.float32)
    with threadpool_limits(1):
        components = min(COMPONENTS, *points.shape)
        # Around 1, whatever the scale of the layer: far from it, t-SNE's own start is no use.
        reduced = PCA(components, svd_solver="full").fit_transform(points / points.std())
        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        places = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(reduced)
    return np.asarray(np.round(places, 2), np.float32)


@stage(libraries=(*LIBRARIES, "pyarrow", "scikit-learn", "scipy"))
def embed(
    work: Workspace,
    split: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    network: NetworkSettings,
    predictions: FileRef,
) -> Embedding:
    """Map a sample of a split.

    Args:
        work: inputs and outputs.
        split: the one that the predictions are of.
        shape: of its images.
        checkpoint: what predicted.
        network: its layers.
        predictions: as in `Evaluation`.
    """
    load_tensorflow()
    table = pq.read_table(work.input(predictions), columns=["label", "predicted"])
    rows = sample(table["label"].to_numpy(), table["predicted"].to_numpy())
    model = restore_network(work.input(checkpoint.file), network, shape)
    layer, points = features(model, read_split(work.input(split.file)).images[rows])
    places = map_points(points)
    columns = {
        "index": rows.astype(np.int32),
        "label": table["label"].to_numpy()[rows],
        "predicted": table["predicted"].to_numpy()[rows],
        "x": np.ascontiguousarray(places[:, 0]),
        "y": np.ascontiguousarray(places[:, 1]),
    }
    pq.write_table(pa.table(columns), work.output("embedding.parquet"), compression="zstd")
    return Embedding(file=work.finished("embedding.parquet"), layer=layer, rows=len(rows))
