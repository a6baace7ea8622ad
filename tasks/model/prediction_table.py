"""Tables of predictions: the one place that writes and reads them.

One row per image: `index` int32 (row in the original file), `label` uint8, `predicted` uint8, and
the class probabilities `p0`, `p1`, … float32. The probabilities may be left out. If the classes
have names other than their numbers, the file has the columns `label_name` and `predicted_name`,
too. They are for people: the project's own readers leave them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import numbered_classes

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("index", "label", "predicted")
"""Columns of a table of predictions without the probabilities."""
NAMES = {"label_name": "label", "predicted_name": "predicted"}
"""Columns with the names of classes → columns with their numbers."""


def to_frame(index: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> "pd.DataFrame":
    """Return a table of predictions.

    Args:
        index: int32 [n], row in the original file.
        labels: uint8 [n].
        probabilities: float32 [n, classes].
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "index": index,
            "label": labels,
            "predicted": probabilities.argmax(axis=1).astype(np.uint8),
            **{f"p{c}": probabilities[:, c] for c in range(probabilities.shape[1])},
        }
    )


def write_predictions(
    predictions: "pd.DataFrame", path: Path, class_names: Sequence[str] = ()
) -> None:
    """Write a table of predictions as Parquet; equal tables give equal bytes.

    Args:
        predictions: the table.
        path: file to write.
        class_names: in the order of the labels; empty, or their numbers, adds no columns.
    """
    # Not `DataFrame.to_parquet`: it would write the version of pandas, and NaN as missing.
    columns = {name: column.to_numpy() for name, column in predictions.items()}
    table = pa.table(columns)
    if tuple(class_names) != numbered_classes(len(class_names)):
        for place, (name, number) in enumerate(NAMES.items(), start=len(CLASSES)):
            names = pa.array(class_names, pa.string()).take(pa.array(columns[number]))
            table = table.add_column(place, name, names)
    pq.write_table(table, path, compression="zstd")


def read_predictions(path: Path, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read a table of predictions.

    Args:
        path: a file of `write_predictions`.
        columns: columns to read; None for all but names.
    """
    import pandas as pd

    return pd.DataFrame(read_arrays(path, columns))


def read_arrays(path: Path, columns: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read a table of predictions as an array for each column, without importing pandas.

    The import takes about 0.4 s, too long for the end of a run in which nothing has changed.

    Args:
        path: a file of `write_predictions`.
        columns: columns to read; None for all but names.
    """
    # ParquetFile: `read_table` would take columns from the names of the folders, too.
    file = pq.ParquetFile(path)
    table = file.read(columns or [name for name in file.schema_arrow.names if name not in NAMES])
    # DLPack shares the memory. Arrow's own conversion imports pandas.
    return {name: np.from_dlpack(table[name].combine_chunks()) for name in table.column_names}


def class_probabilities(predictions: "pd.DataFrame") -> np.ndarray:
    """Return the probabilities of a table of predictions, float32 [n, classes]."""
    probabilities: np.ndarray = predictions.drop(columns=[*CLASSES], errors="ignore").to_numpy()
    return probabilities


@dataclass(frozen=True)
class Counts:
    """Numbers of right and wrong predictions."""

    correct: int
    total: int
    confusion: tuple[tuple[int, ...], ...]
    """Images by class: rows true, columns predicted."""


def count(predictions: "pd.DataFrame", classes: int) -> Counts:
    """Count right and wrong predictions.

    Args:
        predictions: with the columns `label` and `predicted`.
        classes: number of classes, whether or not each occurs.
    """
    from sklearn.metrics import confusion_matrix

    true, predicted = predictions["label"], predictions["predicted"]
    matrix = confusion_matrix(true, predicted, labels=range(classes)).tolist()
    return Counts(
        correct=int((predicted == true).sum()),
        total=len(predictions),
        confusion=tuple(map(tuple, matrix)),
    )
