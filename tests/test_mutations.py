"""Damaged files are read or refused in one line, with bounded time and memory.

`MUTATIONS=1000000` tries so many, and `python tests/test_mutations.py --only PNG` those of some
kinds of file; input number n is always the same bytes. An escape is an exception other than
`PipelineError`, such as `MemoryError`, or an input that takes longer than `SECONDS`.
"""

import argparse
import copy
import gzip
import io
import json
import logging
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.data_sets import encode, write_tree
from helpers.words import Words, write

from tasks.data import idx
from tasks.data.convert import to_table, write_parquet
from tasks.data.decode import decode_picture
from tasks.data.download import get_files
from tasks.engine import prune
from tasks.engine.digests import json_sha256
from tasks.engine.models import check_printable
from tasks.engine.store import Store
from tasks.records import Shape
from tasks.report.summary import keys_of_latest
from tasks.runtime.errors import PipelineError
from tasks.scoring.images import Reports, read_batches
from tasks.settings import DownloadSettings

COUNT = int(os.environ.get("MUTATIONS", "4000"))
SECONDS, BYTES = 20, 6 * 2**30
SHAPE = Shape(height=12, width=12, classes=3)
IMAGES = np.arange(24 * 144, dtype=np.uint32).reshape(24, 12, 12).astype(np.uint8)
LABELS = np.arange(24, dtype=np.uint8) % 3
PICTURES = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
CHANGES = 4  # at most, to one file
EDGES = (0, 1, 0x7F, 0x80, 0xFF)
NUMBERS = (0, 1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, -(10**400), float("nan"), "", "../../x", "/etc/passwd"),
    *("\x1b[2J", "a\x00b", "x" * 5000, "\ud800", [], {}, [[]], {"__class__": "os.system"}),
)


@pytest.mark.slow
def test_damaged_files_of_every_kind() -> None:
    """A reader may crash, so it has a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--count", str(COUNT)],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{COUNT:,} inputs, 0 escapes: ")
    assert not done.stderr, "a library printed to the terminal"


# Mutation


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


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in nested lists and dictionaries: the container and the key."""
    for name, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, name
        if isinstance(item, (dict, list)):
            yield from places(item)


# Checksums that fit again, so that later checks are reached


def mend_png(data: bytes) -> bytes:
    kept, place = [data[:8]], 8
    while place + 12 <= len(data):
        length = struct.unpack_from(">I", data, place)[0]
        body = data[place + 4 : place + 8 + length]
        kept += [data[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join([*kept, data[place:]])


def mend_tar(data: bytes) -> bytes:
    blocks = [data[start : start + 512] for start in range(0, len(data), 512)]
    for number, block in enumerate(blocks):
        if len(block) == 512 and block[257:262] == b"ustar":
            total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
            blocks[number] = block[:148] + b"%06o\0 " % total + block[156:]
    return b"".join(blocks)


def mend_entry(data: bytes) -> bytes:
    try:
        values = json.loads(data)
        values["output_sha256"] = json_sha256(values["output"])
        return json.dumps(values).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, KeyError, RecursionError):
        return data


# Intact samples


def squeeze(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return content.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def npy_of(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def class_folders(kind: str) -> dict[str, bytes]:
    return {f"{'abc'[n % 3]}/{n}.{kind}": encode(image, kind) for n, image in enumerate(IMAGES)}


def csv() -> bytes:
    """Return images as Kaggle's table."""
    header = ["label", *(f"pixel{number}" for number in range(IMAGES[0].size))]
    rows = [[label, *image.ravel()] for label, image in zip(LABELS, IMAGES, strict=True)]
    return "\n".join(",".join(map(str, row)) for row in [header, *rows]).encode()


def hugging_face_parquet() -> bytes:
    features = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": encode(image), "path": None} for image in IMAGES], kind)
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    content = io.BytesIO()
    pq.write_table(pa.table([cells, pa.array(LABELS, pa.int64())], schema), content)
    return content.getvalue()


# Targets


@dataclass(frozen=True)
class Target:
    """A kind of file, an intact sample of it, and its reader."""

    name: str
    path: Path
    sample: bytes
    read: Callable[[], object]
    mend: Callable[[bytes], bytes] = bytes
    """Makes checksums fit again, or packs, so that later checks are reached."""
    structured: bool = False
    """Whether it is JSON, whose values are changed too."""


def to_score(path: Path) -> Callable[[], object]:
    """Return the reader of `predict.py`."""
    return lambda: list(read_batches([str(path)], SHAPE, 2, Reports()))


def as_source(path: Path) -> Callable[[], object]:
    """Return the reader of `--source`."""
    settings = DownloadSettings(source=str(path), digests="none")
    scratch = Path(tempfile.gettempdir())
    return lambda: get_files(settings, scratch)


def picture_targets(folder: Path) -> Iterator[Target]:
    for kind in PICTURES:
        content, alone = encode(IMAGES[0], kind), folder / f"alone.{kind}"

        def read_alone(path: Path = alone) -> object:
            return decode_picture(path.read_bytes(), path.name)

        yield Target(f"{kind} alone", alone, content, read_alone)
        tree = write_tree(folder / kind, class_folders(kind))
        yield Target(f"{kind} in a folder", tree / f"a/0.{kind}", content, as_source(tree))
    png = folder / "scored.png"
    for name, mend in (("", bytes), (", checksums fit", mend_png)):
        yield Target(f"PNG to score{name}", png, encode(IMAGES[0]), to_score(png), mend)


def file_targets(folder: Path) -> Iterator[Target]:
    """Yield files of many images: for `--source`, to score, and as the output of scoring."""
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:6], "y_test": LABELS[:6]}
    members = {f"{name}.npy": npy_of(values) for name, values in arrays.items()}
    stored = zipfile.ZIP_STORED
    samples: tuple[tuple[str, bytes, Callable[[bytes], bytes]], ...] = (
        ("a.csv", csv(), bytes),
        ("a.csv.gz", csv(), squeeze),
        ("a.parquet", hugging_face_parquet(), bytes),
        ("a.npz", zip_of(members, stored), bytes),
        *(
            (f"{name}.npz", members[name], lambda data, n=name: zip_of(members | {n: data}, stored))
            for name in ("x_train.npy", "y_train.npy")
        ),
        ("a.zip", zip_of(class_folders("BMP")), bytes),
        ("a.tar", tar_of(class_folders("BMP")), mend_tar),
        ("a.tar.gz", tar_of(class_folders("BMP")), squeeze),
    )
    for name, content, mend in samples:
        yield Target(f"source {name}", folder / name, content, as_source(folder / name), mend)
    parquet, plain, packed = folder / "rows.parquet", folder / "images", folder / "images.gz"
    write_parquet(to_table(IMAGES, LABELS, 0), parquet)
    yield Target("Parquet to score", parquet, parquet.read_bytes(), to_score(parquet))
    for path, mend in ((plain, bytes), (packed, squeeze)):
        for name, read in (("", lambda path=path: idx.read(path)), (" to score", to_score(path))):
            yield Target(f"IDX {path.name}{name}", path, idx.dumps(IMAGES), read, mend)


def record_targets(store: Store) -> Iterator[Target]:
    """Yield the store's own JSON: a cache entry, and the numbers of a run."""
    plan = write.plan(settings=Words())
    entry = plan.compute(store, "never run")
    path = store.records / plan.record_name

    def list_and_prune() -> None:
        prune.listing(store, {"word": "x"}, frozenset())
        prune.prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=True)
        check_printable(write.plan(settings=Words(word="bye")).explain(store))

    for name, read in (("", lambda: plan.validate(store)), (", listed", list_and_prune)):
        for mend in (bytes, mend_entry):
            sample = entry.model_dump_json(indent=1).encode()
            yield Target(f"cache entry{name}", path, sample, read, mend, structured=True)
    metrics = store.latest / "report" / "metrics.json"
    metrics.parent.mkdir(parents=True)
    keys = json.dumps({"stages": [{"name": "train-1", "key": "1" * 64}]}).encode()
    yield Target("metrics.json", metrics, keys, lambda: keys_of_latest(store), structured=True)


# The run


class TooSlow(BaseException):
    """An input took too long."""


def raise_too_slow(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TooSlow


def escape(target: Target, number: int) -> str | None:
    """Let a reader read input `number`; return what escaped."""
    draw = random.Random(number)
    damaged = (mutate_json if target.structured else mutate)(target.sample, draw)
    target.path.write_bytes(target.mend(damaged))
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
    return None


def escapes(folder: Path, target: Target, numbers: range) -> Iterator[str]:
    """Yield what escapes from a target."""
    target.path.write_bytes(target.mend(target.sample))
    target.read()  # the sample is sound
    for number in numbers:
        if escaped := escape(target, number):
            yield f"{target.name}, input {number}: {escaped}"
    target.path.write_bytes(target.mend(target.sample))


def main() -> int:
    """Try inputs and print what came of it; return 1 if there is an escape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--only", default="", help="start of the names of targets")
    options = parser.parse_args()
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.signal(signal.SIGALRM, raise_too_slow)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tempfile.tempdir = f"{folder}/scratch"
        Path(tempfile.tempdir).mkdir()
        store = Store(Path(folder, "artifacts"))
        store.prepare()
        files = write_tree(Path(folder, "files"), {"empty": b""})
        made = (*picture_targets(files), *file_targets(files), *record_targets(store))
        targets = [target for target in made if target.name.startswith(options.only)]
        found = [
            text
            for turn, target in enumerate(targets)
            for text in escapes(Path(folder), target, range(turn, options.count, len(targets)))
        ]
    print(f"{options.count:,} inputs, {len(found)} escapes: {len(targets)} kinds of files")
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
