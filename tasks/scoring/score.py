"""Images scored with the champion, in batches of bounded memory."""

import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.champion.registry import Champion, Champions
from tasks.engine.store import disk_errors, open_store
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.scoring.images import Piece, has_light_ground, read_pieces
from tasks.settings import ScoreSettings

FIRST_COLUMNS = ["file", "row", "predicted", "inverted", "champion"]
"""The columns by which a predictions file is recognised."""


@dataclass
class Scored:
    """What was scored, and what could not be."""

    champion: str
    out: Path
    images: int = 0
    inverted: int = 0
    faults: list[str] = field(default_factory=list)
    """One line for each file that is no good."""


def champion_in_use(champions: Champions) -> Champion:
    """The champion, or the one before if it is damaged.

    Raises:
        PipelineError: there is none.
    """
    found = champions.find()
    if found.champion is None:
        why = "; ".join(found.faults) or f"no champion in {champions.folder} yet"
        raise PipelineError(f"{why}; train one with `python flows/retrain.py`")
    for fault in found.faults:
        log.warning(f"{fault}; using {found.champion.id}, the one before")
    return found.champion


def gather(pieces: Iterator[Piece], size: int) -> Iterator[list[Piece]]:
    """Put small pieces together, so that single pictures need not be asked for one by one."""
    waiting: list[Piece] = []
    count = 0
    for piece in pieces:
        if waiting and count + len(piece.images) > size:
            yield waiting
            waiting, count = [], 0
        waiting.append(piece)
        count += len(piece.images)
    if waiting:
        yield waiting


def to_table(
    pieces: list[Piece], inverted: np.ndarray, probabilities: np.ndarray, champion: str
) -> pa.Table:
    """Scores as an Arrow table.

    Args:
        pieces: where the images are from.
        inverted: bool [n], which were turned around.
        probabilities: float32 [n, classes].
        champion: its id.

    Returns:
        Columns `file`, `row` (int64, from 0), `predicted` (uint8), `inverted`, `champion`,
        `p0`, `p1`, …
    """
    counts = [len(piece.images) for piece in pieces]
    files = np.repeat([piece.file for piece in pieces], counts)
    rows = [np.arange(n) + piece.first_row for piece, n in zip(pieces, counts, strict=True)]
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


def score_tables(
    paths: list[str], champion: Champion, model: Path, settings: ScoreSettings, scored: Scored
) -> Iterator[pa.Table]:
    """Scores of all images that can be read, batch by batch; `scored` keeps count."""
    shape = champion.facts.shape
    classify = None
    pieces = read_pieces(paths, shape, settings.batch, scored.faults.append)
    for group in gather(pieces, settings.batch):
        if classify is None:  # not before there is something to ask about
            from tasks.model.predictions import load_classifier

            classify = load_classifier(model, shape)
        images = np.concatenate([piece.images for piece in group])
        inverted = has_light_ground(images) & (not settings.as_is)
        images[inverted] = 255 - images[inverted]
        yield to_table(group, inverted, classify(images), champion.id)
        scored.images += len(images)
        scored.inverted += int(inverted.sum())


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


def score(paths: list[str], settings: ScoreSettings) -> Scored:
    """Score images and write a Parquet file, which is there only when it is whole.

    Files that are no good are listed, and lose nothing of the others.

    Raises:
        PipelineError: there is no champion, no image could be read, or the disk fails.
    """
    check_output(settings.out, paths)
    champions = Champions(open_store(settings.artifacts))
    champion = champion_in_use(champions)
    scored = Scored(champion.id, settings.out)
    model = champions.store.path(champion.model)
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    part = settings.out.with_name(f".{settings.out.name}.{unique}.tmp")
    writer = None
    with disk_errors("scores", settings.out, "name another file with --out"):
        try:
            for table in score_tables(paths, champion, model, settings, scored):
                if writer is None:
                    part.parent.mkdir(parents=True, exist_ok=True)
                    writer = pq.ParquetWriter(part, table.schema, compression="zstd")
                writer.write_table(table)
            if writer is None:
                raise PipelineError(nothing_scored(scored.faults))
            writer.close()
            check_output(settings.out, paths)  # it may have been created in the meantime
            part.replace(settings.out)
        finally:
            if writer is not None:
                writer.close()
            part.unlink(missing_ok=True)
    return scored


def nothing_scored(faults: list[str]) -> str:
    """One line about inputs of which none was any good."""
    more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"no image to score: {faults[0]}{more}" if faults else "no image to score"


def lines(scored: Scored) -> list[str]:
    """What happened, for a person."""
    said = [f"{scored.images:,} images scored with champion {scored.champion}: {scored.out}"]
    if scored.inverted:
        said.append(f"{scored.inverted:,} had a light ground and were inverted")
    return said


def complaint(scored: Scored) -> str:
    """One line about the files that were no good."""
    n = len(scored.faults)
    return f"{n} {'input was' if n == 1 else 'inputs were'} left out; the others are scored"
