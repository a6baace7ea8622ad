"""Stage: splits without the training and validation images that a user wants to leave out."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from tasks.data.convert import rows_to_table, write_parquet
from tasks.data.dataset import SplitArrays, read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import Audit, Dropped, Split, Splits
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.settings import AuditSettings

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "validation")
"""Splits that may lose images; the test split never does."""


def rows_to_drop(
    findings: "pd.DataFrame", data: SplitArrays, name: str, kinds: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return the images of a split to leave out.

    Args:
        findings: see `Audit.file`.
        data: the split.
        name: of the split.
        kinds: values of `--drop`.

    Returns:
        For each kind bool [n]; an image is left out for the first kind that applies.
    """
    here = findings[findings["split"] == name]
    left = np.ones(len(data.index), bool)
    chosen = {}
    for kind in kinds:
        chosen[kind] = left & np.isin(data.index, here.loc[here["kind"] == kind, "index"])
        left &= ~chosen[kind]
    return chosen


def kinds_of(settings: AuditSettings) -> tuple[str, ...]:
    """Return the kinds of findings to drop: near duplicates include duplicates."""
    also = ("duplicates",) if "near-duplicates" in settings.drop else ()
    return tuple(dict.fromkeys([*also, *settings.drop]))


@stage()
def drop(work: Workspace, splits: Splits, audit: Audit, settings: AuditSettings) -> Splits:
    """Leave images out of the training and the validation split.

    Raises:
        PipelineError: none would be left.
    """
    findings = pq.ParquetFile(work.input(audit.file)).read().to_pandas()
    kinds = kinds_of(settings)
    parts: dict[str, Split] = {}
    counts: dict[str, dict[str, int]] = {}
    for name in PARTS:
        data = read_split(work.input(getattr(splits, name).file))
        chosen = rows_to_drop(findings, data, name, kinds)
        counts[name] = {kind: int(rows.sum()) for kind, rows in chosen.items()}
        keep = ~np.any(list(chosen.values()), axis=0)
        if not keep.any():
            raise PipelineError(
                f"--drop {','.join(settings.drop)}: no image is left in the {name} split; drop less"
            )
        table = rows_to_table(data.images[keep], data.labels[keep], data.index[keep])
        write_parquet(table, work.output(f"{name}.parquet"))
        parts[name] = Split(rows=int(keep.sum()), file=work.finished(f"{name}.parquet"))
        log.info(f"{name}: {sum(counts[name].values()):,} of {len(keep):,} images dropped")
    dropped = tuple(
        Dropped(kind=kind, train=counts["train"][kind], validation=counts["validation"][kind])
        for kind in kinds
    )
    return splits.model_copy(update={**parts, "dropped": dropped})
