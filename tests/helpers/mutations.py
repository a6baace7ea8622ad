"""Damaged files, and the readers that must refuse them or read them.

`python tests/helpers/mutations.py --count 1000000` tries that many, one after the other, and prints
the number of escapes. Input number n is always the same bytes.

An escape is an exception other than `PipelineError`, an input that takes longer than `SECONDS`,
more memory than `BYTES`, or a change of any other file.
"""

import argparse
import copy
import json
import logging
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from helpers.data_sets import encode
from helpers.mutation_sources import source_samples, squeeze

from tasks.champion.records import Accuracy, Facts, TrainingData
from tasks.champion.registry import Champions, history_lines
from tasks.data import idx
from tasks.data.convert import to_table, write_parquet
from tasks.data.decode import decode_picture
from tasks.engine import StageOutcome, prune
from tasks.engine.digests import json_sha256
from tasks.engine.models import FileRef, Record, check_printable
from tasks.engine.stage import stage
from tasks.engine.store import Store, Workspace
from tasks.records import Calibration, Device, Metrics, Shape
from tasks.report.report import previous_run
from tasks.report.summary import DataFacts, Milestone, Score, Summary, keys_of_latest
from tasks.runtime.errors import PipelineError
from tasks.scoring.images import Reports, read_batches
from tasks.scoring.outputs import is_predictions_file

SECONDS = 20
BYTES = 2**30
SHAPE = Shape(height=12, width=10, classes=3)
CHANGES = 4  # at most, to one file
EDGES = (0, 1, 0x7F, 0x80, 0xFF)
NUMBERS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, -(10**400), float("nan"), "", "../../x", "/etc/passwd"),
    *("\x1b[2J", "a\x00b", "x" * 5000, "\ud800", [], {}, [[]], {"__class__": "os.system"}),
)


class Text(Record):
    """Result of the stage whose cache entry is damaged."""

    file: FileRef
    letters: int


@stage()
def write_text(work: Workspace, word: str) -> Text:
    """Write a word."""
    work.output("text.txt").write_text(word)
    return Text(file=work.finished("text.txt"), letters=len(word))


@dataclass(frozen=True)
class Target:
    """A kind of file, an intact sample of it, and its reader."""

    name: str
    path: Path
    sample: bytes
    read: Callable[[], object]
    mend: Callable[[bytes], bytes] = bytes
    """Makes checksums fit again, or compresses, so that later checks are reached."""
    structured: bool = False
    """Whether it is JSON, whose values are changed too."""


# Mutation.


def mutate(sample: bytes, draw: random.Random) -> bytes:
    """Return damaged bytes."""
    data = bytearray(sample)
    for _ in range(draw.randint(1, CHANGES)):
        place, length = draw.randrange(len(data) + 1), draw.choice((1, 2, 4, 16, 64))
        kind = draw.randrange(7)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = draw.choice(EDGES)
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = draw.randbytes(length)
        elif kind == 4:
            data[place : place + 4] = struct.pack(draw.choice("<>") + "I", draw.choice(NUMBERS))
        elif kind == 5:
            other = draw.randrange(len(data) + 1)
            data[place:place] = data[other : other + length]
        elif draw.random() < 0.2:
            del data[place:]
    return bytes(data)


def mutate_json(sample: bytes, draw: random.Random) -> bytes:
    """Return JSON with other values, or damaged bytes."""
    if draw.random() < 0.4:
        return mutate(sample, draw)
    if draw.random() < 0.01:
        return b"[" * 100_000
    root = {"": json.loads(sample)}
    for _ in range(draw.randint(1, CHANGES)):
        holder, name = draw.choice(list(places(root)))
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took it away
            if draw.random() < 0.2 and name != "":
                del holder[name]
            else:
                holder[name] = copy.deepcopy(draw.choice(VALUES))
    return json.dumps(root[""]).encode("utf-8", "surrogatepass")


def places(value: Any) -> "list[tuple[Any, Any]]":
    """Return every place in nested lists and dictionaries: the container and the key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, Any]] = []
    for name, item in items:
        found.append((value, name))
        if isinstance(item, (dict, list)):
            found += places(item)
    return found


def mend_png(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums of their content."""
    kept, place = [data[:8]], 8
    while place + 12 <= len(data):
        length = struct.unpack_from(">I", data, place)[0]
        body = data[place + 4 : place + 8 + length]
        kept += [data[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join([*kept, data[place:]])


def seal(data: bytes) -> bytes:
    """Return a cache entry with the digest of its output, if it still is one."""
    try:
        values = json.loads(data)
        values["output_sha256"] = json_sha256(values["output"])
        return json.dumps(values).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, KeyError, RecursionError):
        return data


# Targets.


def score_reader(path: Path) -> Callable[[], object]:
    """Return the reader of `predict.py` for one file."""
    return lambda: list(read_batches([str(path)], SHAPE, 2, Reports()))


def picture_bytes(kind: str) -> bytes:
    """Return a small picture with a gradient."""
    pixels = np.linspace(0, 255, SHAPE.height * SHAPE.width).astype(np.uint8)
    return encode(pixels.reshape(SHAPE.height, SHAPE.width), kind)


def picture_targets(folder: Path) -> list[Target]:
    """Return PNG for both readers, and JPEG."""
    png, jpeg = folder / "a.png", folder / "a.jpg"
    return [
        Target("png", png, picture_bytes("PNG"), score_reader(png)),
        Target("png, checksums fit", png, picture_bytes("PNG"), score_reader(png), mend_png),
        Target(
            "png as a photograph",
            png,
            picture_bytes("PNG"),
            lambda: decode_picture(png.read_bytes(), png.name),
        ),
        Target(
            "jpeg",
            jpeg,
            picture_bytes("JPEG"),
            lambda: decode_picture(jpeg.read_bytes(), jpeg.name),
        ),
    ]


def array_targets(folder: Path) -> list[Target]:
    """Return IDX, gzip and Parquet, for training and for scoring."""
    images = np.arange(5 * 120, dtype=np.uint8).reshape(5, SHAPE.height, SHAPE.width)
    plain, packed, parquet = folder / "images", folder / "images.gz", folder / "images.parquet"
    content = idx.dumps(images)
    write_parquet(to_table(images, np.zeros(5, np.uint8), 0), parquet)

    def is_predictions() -> bool:
        return is_predictions_file(parquet)

    return [
        Target("idx", plain, content, lambda: idx.read(plain)),
        Target("idx, scored", plain, content, score_reader(plain)),
        Target("gzip", packed, squeeze(content), lambda: idx.read(packed)),
        Target("idx in gzip", packed, content, lambda: idx.read(packed), squeeze),
        Target("gzip, scored", packed, squeeze(content), score_reader(packed)),
        Target("parquet", parquet, parquet.read_bytes(), score_reader(parquet)),
        Target("parquet, as --out", parquet, parquet.read_bytes(), is_predictions),
    ]


def entry_targets(store: Store) -> list[Target]:
    """Return a cache entry, as a run and as `cache ls` read it."""
    plan = write_text.plan("hello")
    entry = plan.compute(store, "never run").model_dump_json(indent=1).encode()
    path = store.records / plan.record_name

    def list_and_prune() -> None:
        prune.listing(store, {"word": "x"}, frozenset())
        prune.prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=True)
        check_printable(write_text.plan("bye").explain(store))

    readers = {"": lambda: plan.validate(store), ", listed": list_and_prune}
    return [
        Target(f"cache entry{how}", path, entry, read, mend, structured=True)
        for how, read in readers.items()
        for mend in (bytes, seal)
    ]


def report_targets(store: Store) -> list[Target]:
    """Return metrics.json, as the next run and `cache prune` read it."""
    path = store.latest / "report" / "metrics.json"
    path.parent.mkdir(parents=True)
    sample = summary().model_dump_json(indent=1).encode()
    readers = lambda: keys_of_latest(store), lambda: previous_run(store, "1" * 64, "2" * 64)
    return [Target("metrics.json", path, sample, read, structured=True) for read in readers]


def summary() -> Summary:
    """Return the numbers of a small run."""
    score = Score(correct=9, total=10, accuracy=0.9)
    return Summary(
        test=score,
        milestones=[Milestone(**score.model_dump(), iteration=1, train_seconds=1.0)],
        confusion_matrix=[[5, 1], [0, 4]],
        class_names=["0", "1"],
        metrics=Metrics(classes=(), confused=(), bins=(), calibration_error=0.1),
        train_seconds=1.0,
        seed=0,
        device=Device(kind="CPU", name="a processor", reason="requested"),
        settings={"training": {"seed": 0}},
        data=DataFacts(splits=[], findings=[], dropped=[], labels=[], most_doubtful=[]),
        data_source="a folder",
        versions={"python": "3.11"},
        stages=[
            StageOutcome(name="train-1", key="1" * 64, state="ran", seconds=1.0, computed_in=1.0)
        ],
        test_sha256="1" * 64,
        predictions_sha256="2" * 64,
        finished="2026-01-31T14:05:09+00:00",
    )


def champion_target(store: Store) -> Target:
    """Return the history of the champions."""
    output = write_text.plan("hello").compute(store, "never run").output["file"]
    model = FileRef.model_validate(output)
    accuracy = Accuracy(correct=9, total=10)
    data = TrainingData(
        source="a",
        shape=SHAPE,
        class_names=("a", "b", "c"),
        background="dark",
        mnist=False,
        train="1" * 64,
        validation="2" * 64,
        test="3" * 64,
    )
    facts = Facts(data=data, validation=accuracy, test=accuracy)
    champions = Champions(store)
    calibration = Calibration(file=model, onnx=model)
    champions.promote(model, calibration, facts, "somebody", "good", None)
    path = store.root / "champion/history.jsonl"

    def find_and_list() -> None:
        champions.current()
        history_lines(champions)

    return Target("champion", path, path.read_bytes(), find_and_list, structured=True)


# The run.


@dataclass
class Outcome:
    """Inputs tried, and the escapes among them."""

    tried: int
    by_target: dict[str, int]
    escapes: list[str]


class TooSlow(BaseException):
    """An input took too long."""


def raise_too_slow(_number: int, _frame: FrameType | None) -> NoReturn:
    """Handle SIGALRM."""
    raise TooSlow


def peak() -> int:
    """Return the largest memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def snapshot(folder: Path, without: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file but one."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if path != without and not path.is_dir() and "locks" not in path.parts
    }


def make_targets(folder: Path) -> list[Target]:
    """Write the samples into an empty folder."""
    store = Store(folder / "artifacts")
    store.prepare()
    (folder / "files").mkdir()
    return [
        *picture_targets(folder / "files"),
        *array_targets(folder / "files"),
        *entry_targets(store),
        *report_targets(store),
        champion_target(store),
        *(Target(*sample) for sample in source_samples(folder / "sources")),
    ]


def try_one(target: Target, number: int) -> str | None:
    """Let a reader read input `number`; return what escaped."""
    draw = random.Random(number)
    damaged = (mutate_json if target.structured else mutate)(target.sample, draw)
    target.path.write_bytes(target.mend(damaged))
    before = peak()
    signal.alarm(SECONDS)
    try:
        target.read()
    except PipelineError as error:
        if "\n" in str(error):
            return "a message of several lines"
    except TooSlow:
        return f"longer than {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.alarm(0)
    grown = peak() - before
    return f"{grown / 1e6:.0f} MB of memory" if grown > BYTES else None


def try_many(folder: Path, first: int, count: int, only: str = "") -> Outcome:
    """Try inputs `first` … `first + count - 1`, in turn, on the targets that are called `only` …"""
    targets = [target for target in make_targets(folder) if target.name.startswith(only)]
    for target in targets:
        target.path.write_bytes(target.mend(target.sample))
        target.read()  # the sample is sound
    signal.signal(signal.SIGALRM, raise_too_slow)
    outcome = Outcome(0, dict.fromkeys((target.name for target in targets), 0), [])
    for turn, target in enumerate(targets):
        target.path.write_bytes(target.sample)
        before = snapshot(folder, target.path)
        for number in range(first, first + count):
            if number % len(targets) == turn:
                outcome.tried += 1
                outcome.by_target[target.name] += 1
                if escaped := try_one(target, number):
                    outcome.escapes.append(f"{target.name}, input {number}: {escaped}")
        target.path.write_bytes(target.sample)
        if snapshot(folder, target.path) != before:
            outcome.escapes.append(f"{target.name}: another file was changed")
    return outcome


def main() -> int:
    """Try inputs and print what came of it; return 1 if there is an escape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", default="", help="start of the names of targets")
    options = parser.parse_args()
    logging.disable()
    folder = Path(tempfile.mkdtemp(prefix="mutations-"))
    try:
        outcome = try_many(folder, options.first, options.count, options.only)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(outcome.escapes))
    print(f"{outcome.tried:,} inputs, {len(outcome.escapes)} escapes: {outcome.by_target}")
    return 1 if outcome.escapes else 0


if __name__ == "__main__":
    sys.exit(main())
