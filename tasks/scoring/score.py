"""Score images with the champion, in batches of bounded memory."""

import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.champion.data import has_light_ground
from tasks.champion.registry import Champion, Champions, Ground, registry_names
from tasks.engine.store import disk_errors, open_store
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.scoring.images import ImageBatch, read_batches
from tasks.settings import ScoreSettings

FIRST_COLUMNS = ["file", "row", "predicted", "inverted", "champion"]
"""First columns of every predictions file, which identify one."""


@dataclass
class ScoreResult:
    """Counts of the scored images, and problems with the others."""

    champion: str
    out: Path
    ground: Ground = "dark"
    """Ground of the images that the champion was trained on."""
    images: int = 0
    inverted: int = 0
    problems: list[str] = field(default_factory=list)
    """One line for each file that cannot be scored."""


def current_champion(champions: Champions) -> Champion:
    """Return the current champion, or the newest intact one before it if it is damaged.

    Raises:
        PipelineError: there is no usable champion.
    """
    found = champions.find()
    if found.champion is None:
        why = "; ".join(found.problems) or f"no champion in {champions.address} yet"
        others = [name for name in registry_names(champions.store) if name != champions.name]
        named = f"; there are others: --champion {', '.join(others)}" if others else ""
        raise PipelineError(
            f"{why}; train one with `python flows/retrain.py{champions.options}`{named}"
        )
    for problem in found.problems:
        log.warning(f"{problem}; using {found.champion.id}, the one before")
    return found.champion


def merge_batches(batches: Iterator[ImageBatch], size: int) -> Iterator[list[ImageBatch]]:
    """Merge small batches, so that single pictures are not classified one by one."""
    waiting: list[ImageBatch] = []
    count = 0
    for batch in batches:
        if waiting and count + len(batch.images) > size:
            yield waiting
            waiting, count = [], 0
        waiting.append(batch)
        count += len(batch.images)
    if waiting:
        yield waiting


def scores_to_table(
    batches: list[ImageBatch], inverted: np.ndarray, probabilities: np.ndarray, champion: str
) -> pa.Table:
    """Return the scores as an Arrow table.

    Args:
        batches: files and rows of the images.
        inverted: bool [n], which images were inverted.
        probabilities: float32 [n, classes].
        champion: id of the champion.

    Returns:
        Columns `file`, `row` (int64, from 0), `predicted` (uint8), `inverted`, `champion`,
        `p0`, `p1`, …
    """
    counts = [len(batch.images) for batch in batches]
    files = np.repeat([batch.file for batch in batches], counts)
    rows = [np.arange(n) + batch.first_row for batch, n in zip(batches, counts, strict=True)]
    columns = {
        "file": pa.array(files, pa.string()).dictionary_encode(),
        "row": np.concatenate(rows),
        "predicted": probabilities.argmax(axis=1).astype(np.uint8),
        "inverted": inverted,
        "champion": pa.array([champion] * len(files), pa.string()).dictionary_encode(),
    }
    for c in range(probabilities.shape[1]):
        columns[f"p{c}"] = np.ascontiguousarray(probabilities[:, c])
    return pa.table(columns)


def other_ground(images: np.ndarray, ground: Ground) -> np.ndarray:
    """Return which images have another ground than the champion's training images.

    Args:
        images: uint8 [n, height, width].
        ground: ground of the champion's training images.

    Returns:
        bool [n]; all False for a mixed ground.
    """
    if ground == "mixed":
        return np.zeros(len(images), bool)
    light = has_light_ground(images)
    return ~light if ground == "light" else light


def score_tables(
    paths: list[str], champion: Champion, model: Path, settings: ScoreSettings, result: ScoreResult
) -> Iterator[pa.Table]:
    """Yield the scores of all readable images, and count them in `result`."""
    shape = champion.facts.shape
    classify = None
    batches = read_batches(paths, shape, settings.batch, result.problems.append)
    for group in merge_batches(batches, settings.batch):
        if classify is None:  # not before there is an image
            from tasks.model.predictions import load_classifier

            classify = load_classifier(model, shape)
        images = np.concatenate([batch.images for batch in group])
        inverted = other_ground(images, "mixed" if settings.as_is else result.ground)
        images[inverted] = 255 - images[inverted]
        yield scores_to_table(group, inverted, classify(images), champion.id)
        result.images += len(images)
        result.inverted += int(inverted.sum())


def check_output(out: Path, paths: list[str]) -> None:
    """Refuse an output path that would lose something of the user's.

    Raises:
        PipelineError: it is a folder, a device, one of the inputs, or a file that is not a
            predictions file.
    """
    advice = "name another file with --out"
    try:
        info = out.stat()
    except FileNotFoundError:
        if out.is_symlink():
            raise PipelineError(f"{out}: a symbolic link to nothing; {advice}") from None
        return
    except OSError as error:
        raise PipelineError(
            f"{out}: {(error.strerror or 'unreadable').lower()}; {advice}"
        ) from error
    if stat.S_ISDIR(info.st_mode):
        raise PipelineError(f"{out}: a folder, not a file; {advice}")
    if out.is_symlink() or not stat.S_ISREG(info.st_mode):
        raise PipelineError(f"{out}: not a regular file; {advice}")
    for path in map(Path, paths):
        if path.exists() and (path.samefile(out) or is_in_folder(out, path)):
            raise PipelineError(f"{out}: is one of the inputs and would be lost; {advice}")
    if not is_predictions_file(out):
        raise PipelineError(
            f"{out}: exists, is not a predictions file, and would be lost"
            f" ({info.st_size:,} bytes); {advice}"
        )


def is_in_folder(file: Path, folder: Path) -> bool:
    """Tell whether a file is one of the PNG files that a folder stands for."""
    inside = folder.is_dir() and file.resolve().is_relative_to(folder.resolve())
    return inside and file.suffix.lower() == ".png"


def is_predictions_file(path: Path) -> bool:
    """Tell whether a file is an earlier output of `score`."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False
    return bool(names[: len(FIRST_COLUMNS)] == FIRST_COLUMNS)


def score(paths: list[str], settings: ScoreSettings) -> ScoreResult:
    """Score images and write a complete Parquet file or none.

    Files that cannot be read are listed in the result; the others are scored.

    Raises:
        PipelineError: there is no champion, no image could be read, or the disk fails.
    """
    check_output(settings.out, paths)
    champions = Champions(open_store(settings.artifacts), settings.champion)
    champion = current_champion(champions)
    # Champions of earlier versions record no ground; MNIST's is dark.
    result = ScoreResult(champion.id, settings.out, champion.facts.ground or "dark")
    model = champions.store.path(champion.model)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    part = settings.out.with_name(f".{settings.out.name}.{unique}.tmp")
    writer = None
    with disk_errors("scores", settings.out, "name another file with --out"):
        try:
            for table in score_tables(paths, champion, model, settings, result):
                if writer is None:
                    part.parent.mkdir(parents=True, exist_ok=True)
                    writer = pq.ParquetWriter(part, table.schema, compression="zstd")
                writer.write_table(table)
            if writer is None:
                raise PipelineError(nothing_scored(result.problems))
            writer.close()
            check_output(settings.out, paths)  # a file may have been created since
            part.replace(settings.out)
        finally:
            if writer is not None:
                writer.close()
            part.unlink(missing_ok=True)
    return result


def nothing_scored(problems: list[str]) -> str:
    """Return one line about inputs without any readable image."""
    more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"no image to score: {problems[0]}{more}" if problems else "no image to score"


def summary_lines(result: ScoreResult) -> list[str]:
    """Return what was scored and inverted, one line each."""
    text = [f"{result.images:,} images scored with champion {result.champion}: {result.out}"]
    if result.inverted:
        other = "dark" if result.ground == "light" else "light"
        text.append(f"{result.inverted:,} had a {other} ground and were inverted")
    return text


def problem_summary(result: ScoreResult) -> str:
    """Return one line about the files that could not be scored."""
    n = len(result.problems)
    return f"{n} {'input was' if n == 1 else 'inputs were'} left out; the others are scored"
