"""Score pictures with the champion or the last run's network, in batches of bounded memory."""

import functools
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from tasks.champion.registry import Champions
from tasks.data.decode import printable
from tasks.engine.store import Store, disk_errors, open_store
from tasks.model.calibration import Familiar, distances, load_calibration
from tasks.model.onnx_session import Predict, open_onnx
from tasks.runtime.errors import PipelineError
from tasks.scoring.answers import PictureAnswer, Tally
from tasks.scoring.contact_sheet import MOST, Entry, thumbnail, write_contact_sheet
from tasks.scoring.fit import Fit, Mark
from tasks.scoring.images import Reports, read_batches
from tasks.scoring.model import LATEST, ScoringModel, choose_model
from tasks.scoring.outputs import check_output, check_sheet
from tasks.scoring.prepare import Fitter, Prepared, merge_batches
from tasks.scoring.tables import PREDICTIONS
from tasks.settings import ScoreSettings
from tasks.words import plural

T = TypeVar("T")
R = TypeVar("R")

ANOTHER = "name another file with --out"
Scores = tuple[np.ndarray, list[Mark]]
"""Probabilities, float32 [n, classes], and marks."""


@dataclass
class ScoreResult:
    """Answers to the scored pictures, and what there is to say about the other files."""

    scorer: str
    """Id of the champion, or the last run."""
    out: Path | None
    sheet: Path | None = None
    changed: int = 0
    """Pictures that the network saw changed."""
    tally: Tally = field(default_factory=Tally)
    reports: Reports = field(default_factory=Reports)
    entries: list[Entry] = field(default_factory=list)
    """For the contact sheet."""

    @property
    def model(self) -> str:
        """The model that scored, in words."""
        return self.scorer if self.scorer == LATEST else f"champion {self.scorer}"

    @property
    def images(self) -> int:
        """Number of scored pictures."""
        return self.tally.count

    @property
    def problems(self) -> list[str]:
        """One line for each file that could not be scored."""
        return self.reports.problems


def fit_mode(model: ScoringModel, wanted: Fit) -> Fit:
    """Return how pictures are fitted: `auto` fits to MNIST's form only for a model of MNIST."""
    return "none" if wanted == "auto" and not model.data.mnist else wanted


@dataclass(frozen=True)
class Scorer:
    """A network, and how its features are to be read."""

    predict: Predict
    familiar: Familiar

    def mark(self, prepared: Prepared, features: np.ndarray) -> list[Mark]:
        """Return the marks of pictures; those unlike all training images get one."""
        return mark_unfamiliar(
            prepared.marks, distances(features, self.familiar) > self.familiar.limit
        )


def load_scorer(store: Store, model: ScoringModel) -> Scorer:
    """Load a model and its calibration.

    Raises:
        PipelineError: the model does not fit its record.
    """
    calibrated = load_calibration(store.path(model.calibration))
    predict = open_onnx(store.path(model.onnx), model.data.splits.shape)
    return Scorer(predict, calibrated.familiar)


def mark_unfamiliar(marks: Sequence[Mark], far: np.ndarray) -> list[Mark]:
    """Mark pictures that are unlike all training images, where they have no mark yet.

    Args:
        marks: of each picture, by its ink.
        far: bool [n], whether it is beyond the limit of the distance.
    """
    return [
        mark or ("unfamiliar" if distant else "") for mark, distant in zip(marks, far, strict=True)
    ]


def scores_table(prepared: Prepared, scores: Scores, champion: str) -> pa.Table:
    """Return scores as an Arrow table.

    Returns:
        Columns `file`, `row` (int64, from 0), `predicted` (uint8), `fit` (what was done to the
        picture), `mark` (reason not to trust the class), `champion`, and the probabilities `p0`,
        `p1`, … (float32).
    """
    probabilities, marks = scores
    text = pa.dictionary(pa.int32(), pa.string())
    columns = {
        "file": pa.array(prepared.files, pa.string()).dictionary_encode(),
        "row": pa.array(prepared.rows, pa.int64()),
        "predicted": probabilities.argmax(axis=1).astype(np.uint8),
        "fit": pa.array(prepared.fits, pa.string()).dictionary_encode(),
        "mark": pa.array(marks, pa.string()).dictionary_encode(),
        "champion": pa.array([champion] * len(marks), pa.string()).cast(text),
    }
    for c in range(probabilities.shape[1]):
        columns[f"p{c}"] = np.ascontiguousarray(probabilities[:, c])
    return pa.table(columns).replace_schema_metadata({PREDICTIONS: b"2"})


def score_batches(
    paths: list[str],
    store: Store,
    model: ScoringModel,
    settings: ScoreSettings,
    result: ScoreResult,
) -> Iterator[tuple[Prepared, Scores]]:
    """Yield the scores of all readable pictures, and add them to `result`."""
    data, shape = model.data, model.data.splits.shape
    ground = "mixed" if settings.fit == "none" else data.background
    alone = len(paths) == 1 and Path(paths[0]).is_dir()
    base = f"{printable(paths[0]).rstrip(os.sep)}{os.sep}" if alone else ""
    fitter = Fitter(shape, fit_mode(model, settings.fit), ground, result.reports, base)
    # Not before there is an image.
    scorer = functools.cache(lambda: load_scorer(store, model))
    batches = read_batches(paths, shape, settings.batch, result.reports)
    prepared = map(fitter.prepare, merge_batches(batches, settings.batch))
    pictures = (batch for batch in prepared if batch.names)
    for batch, (probabilities, features) in one_ahead(
        lambda batch: scorer().predict(batch.images), pictures
    ):
        scores = probabilities, scorer().mark(batch, features)
        add_answers(result, batch, scores, data.splits.class_names)
        yield batch, scores


def one_ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Yield each item with the function's result, which is computed beside the loop's body.

    Args:
        function: called in another thread, for one item at a time.
        items: in order; the next one is taken while the function works.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[T, Future[R]] | None = None
        for item in items:
            future = pool.submit(function, item)
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = item, future
        if waiting:
            yield waiting[0], waiting[1].result()


def add_answers(
    result: ScoreResult, prepared: Prepared, scores: Scores, classes: Sequence[str]
) -> None:
    """Add the answers to some pictures to a result."""
    probabilities, marks = scores
    if result.sheet:
        for i in range(min(len(marks), MOST - len(result.entries))):
            best = int(probabilities[i].argmax())
            share = float(probabilities[i, best])
            answer = PictureAnswer(prepared.names[i], classes[best], share, marks[i])
            original = thumbnail(prepared.originals[i])
            result.entries.append(Entry(original, prepared.images[i], answer))
    result.changed += sum(map(bool, prepared.fits))
    result.tally.add(prepared.names, probabilities, marks, classes)


def score_files(paths: list[str], settings: ScoreSettings) -> ScoreResult:
    """Score pictures, and write a complete Parquet file or none.

    Files that cannot be read are listed in the result; the others are scored.

    Args:
        paths: files and folders.
        settings: options; without `out` nothing is written.

    Raises:
        PipelineError: there is no champion, no picture could be read, or the disk fails.
    """
    out, sheet = settings.out, settings.contact_sheet
    if out:
        check_output(out, paths)
    if sheet:
        check_sheet(sheet, paths)
    store = open_store(settings.artifacts)
    champions = Champions(store, settings.champion)
    model = choose_model(champions, latest=settings.model == "latest")
    result = ScoreResult(model.name, out, sheet)
    batches = score_batches(paths, store, model, settings, result)
    # NumPy's threads, spinning between their tasks, would take the network's processor time.
    with threadpool_limits(1, user_api="blas"):
        if out:
            with disk_errors("scores", out, ANOTHER):
                write_tables((scores_table(*batch, model.name) for batch in batches), out, paths)
        else:
            for _ in batches:
                pass
    if not result.images:
        raise PipelineError(nothing_scored(result.problems))
    if sheet:
        title = f"{plural(result.images, 'picture')} scored with {result.model}"
        with disk_errors("contact sheet", sheet, "name another file with --contact-sheet"):
            write_contact_sheet(result.entries, title, result.images, sheet)
    return result


def write_tables(tables: Iterator[pa.Table], out: Path, paths: list[str]) -> None:
    """Write tables as one Parquet file, which appears when it is complete; none for no table.

    Args:
        tables: of one schema.
        out: the file.
        paths: inputs, which must not be replaced.
    """
    part = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    writer = None
    try:
        for table in tables:
            if writer is None:
                part.parent.mkdir(parents=True, exist_ok=True)
                writer = pq.ParquetWriter(part, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
            check_output(out, paths)  # a file may have been created since
            part.replace(out)
    finally:
        if writer is not None:
            writer.close()
        part.unlink(missing_ok=True)


def nothing_scored(problems: list[str]) -> str:
    """Return one line about inputs without any readable picture."""
    more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"no picture to score: {problems[0]}{more}" if problems else "no picture to score"


def summary_lines(result: ScoreResult) -> list[str]:
    """Return the number of pictures that were scored and changed, one line each."""
    where = f": {result.out}" if result.out else ""
    lines = [f"{plural(result.images, 'picture')} scored with {result.model}{where}"]
    if result.changed:
        changed = plural(result.changed, "picture was", "pictures were")
        lines.append(f"{changed} fitted to the form of the training images")
    if result.sheet:
        lines.append(f"contact sheet: {result.sheet}")
    return lines


def problem_summary(result: ScoreResult) -> str:
    """Return one line about the files that could not be scored."""
    left_out = plural(len(result.problems), "input was", "inputs were")
    return f"{left_out} left out; the others are scored"
