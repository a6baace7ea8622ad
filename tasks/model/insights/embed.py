"""Stage: network × test images → a map of their features in the last hidden layer."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import restore_network
from tasks.model.device import load_tensorflow
from tasks.model.insights.layer_outputs import layer_tensors
from tasks.model.prediction_table import read_predictions
from tasks.records import Embedding, Network, Split

if TYPE_CHECKING:
    import keras

SAMPLE = 1_500
"""Images on the map: t-SNE takes more than twice as long for twice as many."""
COMPONENTS = 30
PERPLEXITY = 30
"""Both as in L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 9 (2008),
section 4.2 (perplexity 40 there; 30 is scikit-learn's default)."""
FEWEST = 8
"""Fewest images for t-SNE, which needs neighbours."""
SEED = 0
BATCH = 256


def sample(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Choose the images of the map: errors up to half of them, the others at random.

    Args:
        true: int [n].
        predicted: int [n].

    Returns:
        int [at most SAMPLE], ascending rows.
    """
    order = np.random.default_rng(SEED).permutation(len(true))
    wrong = order[true[order] != predicted[order]][: SAMPLE // 2]
    others = order[~np.isin(order, wrong)][: SAMPLE - len(wrong)]
    return np.sort(np.concatenate([wrong, others]))


def features(network: "keras.Sequential", images: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the outputs of the last hidden layer; the logits if there is none.

    Args:
        network: from build_network.
        images: uint8 [n, height, width].

    Returns:
        Name of the layer, and its outputs as float32 [n, features].
    """
    import keras

    name, tensor = list(layer_tensors(network).items())[-2:][0]
    extractor = keras.Model(network.inputs[0], tensor)
    parts = [
        np.asarray(extractor(images[i : i + BATCH, ..., np.newaxis].astype(np.float32) / 255))
        for i in range(0, len(images), BATCH)
    ]
    return name, np.concatenate(parts).reshape(len(images), -1)


def map_points(points: np.ndarray) -> np.ndarray:
    """Map points to a plane that keeps neighbours together: PCA, then t-SNE.

    Runs on one thread: the number of threads changes the order of sums, and t-SNE amplifies
    differences in the last bit.

    Args:
        points: float32 [n, features].

    Returns:
        float32 [n, 2], rounded to 0.01 (the map is about 100 wide). All 0 if the points are
        equal or fewer than `FEWEST`; NaN if a point is not finite.
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
        # Scaled to unit deviation: t-SNE starts badly from values of another scale.
        reduced = PCA(components, svd_solver="full").fit_transform(points / points.std())
        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        places = TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(reduced)
    return np.asarray(np.round(places, 2), np.float32)


@stage()
def embed(
    work: Workspace,
    split: Split,
    network: Network,
    predictions: FileRef,
) -> Embedding:
    """Map a sample of a split to a plane."""
    load_tensorflow()
    table = read_predictions(work.input(predictions), ["label", "predicted"])
    rows = sample(table["label"].to_numpy(), table["predicted"].to_numpy())
    model = restore_network(network, work.input(network.checkpoint))
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
