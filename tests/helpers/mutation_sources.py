"""Intact samples of every form of a data set that `--source` reads, for tests/helpers/mutations.py.

Each is a tuple: name, path of the file that is damaged, its bytes, its reader, and a function that
packs damaged bytes so that later checks are reached.
"""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from helpers.data_sets import encode, write_tree

from tasks.data import idx
from tasks.data.decode import decode_picture
from tasks.data.download import get_files
from tasks.data.sources.mnist import IDX_FILES
from tasks.settings import DownloadSettings

Sample = tuple[str, Path, bytes, Callable[[], object], Callable[[bytes], bytes]]

IMAGES = np.arange(24 * 36, dtype=np.uint32).reshape(24, 6, 6).astype(np.uint8)
LABELS = np.arange(24, dtype=np.uint8) % 3
PICTURES = ("WEBP", "BMP", "GIF", "TIFF")


def source_reader(source: Path, scratch: Path) -> Callable[[], object]:
    """Return a function that reads a data set as the stage `download` does."""
    settings = DownloadSettings(source=str(source), digests="none")
    return lambda: get_files(settings, scratch)


def picture(kind: str, number: int, **options: object) -> bytes:
    """Return a picture in a format's own way: palettes, LZW, more than one strip."""
    from PIL import Image

    image = Image.fromarray(IMAGES[number])
    file = io.BytesIO()
    image.convert("P" if kind == "GIF" else "L").save(file, kind, **options)
    return file.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return content.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def mend_tar(data: bytes) -> bytes:
    """Return a tar archive whose headers have the checksums of their content."""
    blocks = [data[start : start + 512] for start in range(0, len(data), 512)]
    return b"".join(map(mend_tar_header, blocks))


def mend_tar_header(block: bytes) -> bytes:
    """Return a block with the checksum of a header, if it is one (POSIX.1-1988, section 10.1.1)."""
    if len(block) < 512 or block[257:262] != b"ustar":
        return block
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def squeeze(data: bytes) -> bytes:
    """Return bytes as gzip."""
    return gzip.compress(data, mtime=0)


def npy_of(values: np.ndarray) -> bytes:
    """Return an array as a `.npy` file."""
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def csv_of(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Return images as Kaggle's table."""
    header = ["label", *(f"pixel{number}" for number in range(images[0].size))]
    rows = [[label, *image.ravel()] for label, image in zip(labels, images, strict=True)]
    return "\n".join(",".join(map(str, row)) for row in [header, *rows]).encode()


def parquet_of(table: pa.Table, **options: object) -> bytes:
    """Return a table as Parquet."""
    content = io.BytesIO()
    pq.write_table(table, content, **options)
    return content.getvalue()


def hugging_face_table() -> pa.Table:
    """Return a table as Hugging Face has them."""
    features = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": encode(image), "path": None} for image in IMAGES]
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    return pa.table([pa.array(cells, kind), pa.array(LABELS, pa.int64())], schema)


def parquet_samples() -> dict[str, bytes]:
    """Return Parquet in several forms."""
    flat = IMAGES.reshape(len(IMAGES), -1)
    columns = {f"pixel{number}": flat[:, number] for number in range(flat.shape[1])}
    lists = pa.table({"image": flat.tolist(), "label": LABELS})
    names = pa.array(np.array(["cat", "dog", "owl"])[LABELS]).dictionary_encode()
    return {
        "of Hugging Face": parquet_of(hugging_face_table()),
        "of lists": parquet_of(lists, compression="zstd"),
        "with named labels": parquet_of(pa.table({"label": names, **columns})),
    }


def table_samples(folder: Path, scratch: Path) -> Iterator[Sample]:
    """Yield CSV and Parquet."""
    table = csv_of(IMAGES, LABELS)
    for name, mend in (("a.csv", bytes), ("a.csv.gz", squeeze)):
        path = folder / name
        yield f"source, {name[2:]}", path, table, source_reader(path, scratch), mend
    for form, content in parquet_samples().items():
        path = folder / f"{form}.parquet"
        yield f"source, Parquet {form}", path, content, source_reader(path, scratch), bytes


def array_samples(folder: Path, scratch: Path) -> Iterator[Sample]:
    """Yield Keras's `.npz`, each array in it, and IDX files with labels as QMNIST's."""
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:6], "y_test": LABELS[:6]}
    files = {f"{name}.npy": npy_of(values) for name, values in arrays.items()}
    path = folder / "mnist.npz"
    read = source_reader(path, scratch)
    yield "source, npz", path, zip_of(files, zipfile.ZIP_STORED), read, bytes
    for name in ("x_train.npy", "y_train.npy"):

        def pack(data: bytes, name: str = name) -> bytes:
            return zip_of(files | {name: data}, zipfile.ZIP_STORED)

        yield f"source, {name} in npz", path, files[name], read, pack
    columns = LABELS.astype(">i4")[:, np.newaxis].repeat(8, axis=1).tobytes()
    idx_files = dict(zip(IDX_FILES, map(idx.dumps, arrays.values()), strict=True))
    qmnist = folder / "QMNIST"
    write_tree(qmnist, {f"qmnist-{name}": data for name, data in idx_files.items()})
    labels = qmnist / "qmnist-train-labels-idx1-ubyte"
    labels_content = b"\0\0\x0c\x02" + struct.pack(">2I", len(LABELS), 8) + columns
    yield "source, QMNIST's labels", labels, labels_content, source_reader(qmnist, scratch), bytes


def class_folders(kind: str) -> dict[str, bytes]:
    """Return so many pictures in class folders that one of them may be damaged."""
    return {f"{'abc'[number % 3]}/{number}.{kind}": picture(kind, number) for number in range(24)}


def archive_samples(folder: Path, scratch: Path) -> Iterator[Sample]:
    """Yield pictures in ZIP and tar archives."""
    pictures = class_folders("BMP")
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    for name, content, mend in (
        ("a.zip", zip_of(pictures, deflated), bytes),
        ("stored.zip", zip_of(pictures, stored), bytes),
        ("a.tar", tar_of(pictures), bytes),
        ("checksums fit.tar", tar_of(pictures), mend_tar),
        ("a.tar.gz", tar_of(pictures), squeeze),
        ("damaged.tar.gz", squeeze(tar_of(pictures)), bytes),
    ):
        path = folder / name
        yield f"source, {name}", path, content, source_reader(path, scratch), mend


def picture_samples(folder: Path, scratch: Path) -> Iterator[Sample]:
    """Yield one picture among others in class folders, and each kind by itself."""
    for kind in PICTURES:
        tree = write_tree(folder / kind, class_folders(kind))
        path = tree / "a" / f"0.{kind}"
        read = source_reader(tree, scratch)
        yield f"source, {kind} in a folder", path, picture(kind, 0), read, bytes
    by_itself = {kind: picture(kind, 0) for kind in PICTURES}
    by_itself["WEBP, lossless"] = picture("WEBP", 0, lossless=True)
    by_itself["TIFF, LZW"] = picture("TIFF", 0, compression="tiff_lzw")
    by_itself["GIF, animated"] = animation()
    for kind, content in by_itself.items():
        path = folder / f"{kind} by itself"

        def read_alone(path: Path = path) -> object:
            return decode_picture(path.read_bytes(), path.name)

        yield f"picture, {kind}", path, content, read_alone, bytes


def animation() -> bytes:
    """Return a GIF of two frames."""
    from PIL import Image

    file = io.BytesIO()
    first, second = (Image.fromarray(pixels) for pixels in IMAGES[:2])
    first.save(file, "GIF", save_all=True, append_images=[second])
    return file.getvalue()


def source_samples(folder: Path) -> list[Sample]:
    """Return a sample of each form; the readers' other files are written into the folder."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    makers = (table_samples, array_samples, archive_samples, picture_samples)
    return [sample for make in makers for sample in make(folder, scratch)]
