"""The four files of MNIST: names, sizes, digests and public mirrors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class IdxFile:
    """One of the four files of the data set, as its makers published it."""

    name: str
    """Of the extracted file; the archive has `.gz` after it."""
    rank: int
    """Dimensions: 3 for images (count, height, width), 1 for labels (count)."""
    size: int
    """Bytes of the extracted file."""
    sha256: str
    """Of the extracted file. This is the identity of the data."""
    archive_sha256: str
    """Of the archive as first published; mirrors may have recompressed it."""
    archive_size: int
    """Bytes of the archive as first published."""


# Names and sizes: http://yann.lecun.com/exdb/mnist/. Digests of the archives: those under
# which many projects pin the files of that page and of the mirrors below. Digests of the
# content: of the extracted archives; the pixels in the wheel of the package index, written
# as IDX, have the same ones.
MNIST = (
    IdxFile(
        "train-images-idx3-ubyte",
        3,
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        9_912_422,
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        1,
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        28_881,
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        3,
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        1_648_877,
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        1,
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        4_542,
    ),
)

IDX_FILES = tuple(file.name for file in MNIST)
"""Train images, train labels, test images, test labels."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",  # PyTorch's
    "https://storage.googleapis.com/cvdf-datasets/mnist/",  # TensorFlow's
    "https://raw.githubusercontent.com/fgnt/mnist/master/",  # for networks that allow GitHub
)
"""Base URLs of the four archives, tried in this order."""


def is_mnists_train_file(sha256: str) -> bool:
    """Tell MNIST's training images by the SHA-256 of their extracted file."""
    return sha256 == MNIST[0].sha256
