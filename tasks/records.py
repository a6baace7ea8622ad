"""What the stages hand to each other: facts and references to files, no arrays.

    Download → Splits → Checkpoint (0) → Checkpoint (1) → … , each × test → Evaluation → Pictures

Facts enter the keys of the stages below, but for those marked `OutsideKey`, which differ
from run to run. There is no code here that makes results.
"""

from typing import Annotated, Literal

from tasks.settings import OutsideKey
from tasks.store import FileRef, Record


class IdxFiles(Record):
    """The data set as its makers publish it, uncompressed."""

    train_images: FileRef
    train_labels: FileRef
    test_images: FileRef
    test_labels: FileRef


class Download(Record):
    """What came, and from where."""

    files: IdxFiles
    source: str


class Split(Record):
    """One of the three disjoint parts of the data set."""

    rows: int
    file: FileRef
    """Parquet: index int32, label uint8, image uint8 [height, width]."""


class Shape(Record):
    """What the images and labels of all splits have in common."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    classes: int


class Splits(Record):
    """The data set, ready to be trained on."""

    train: Split
    validation: Split
    test: Split
    shape: Shape


class Device(Record):
    """The processor that a network was trained on."""

    kind: Literal["CPU", "GPU"]
    name: str
    reason: str
    """Why this one was chosen."""


class Checkpoint(Record):
    """The state of training after so many iterations."""

    iteration: int
    file: FileRef
    """Safetensors: weights, Adam's moments and the iteration; see model/checkpoint.py."""


class Segment(Record):
    """One uninterrupted stretch of training."""

    checkpoint: Checkpoint
    """What it ended with."""
    curve: FileRef
    """Parquet: iteration int32, accuracy and loss float32 of the batches reported."""
    device: Annotated[Device, OutsideKey]
    seconds: Annotated[float, OutsideKey]
    """What the iterations took, without loading and compiling."""


class Evaluation(Record):
    """How a checkpoint does on a split."""

    iteration: int
    correct: int
    total: int
    confusion: tuple[tuple[int, ...], ...]
    """Images by class: rows true, columns predicted."""
    predictions: FileRef
    """Parquet: index int32, label uint8, predicted uint8, probabilities p0 … float32."""
    metrics: FileRef
    """JSON: the numbers above."""


class LayerOutputs(Record):
    """What the convolutional layers hold, and what they make of some images."""

    file: FileRef
    """Safetensors. For each layer n: `conv<n>/weights` float32 [h, w, in, out] and
    `conv<n>/outputs` float32 [images, height, width, out], after pooling and ReLU."""
    test_images: tuple[int, ...]
    """Rows of the test split that the outputs belong to."""


class Model(Record):
    """A trained network that `keras.models.load_model` opens."""

    file: FileRef
    """From float32 [n, height, width, 1] in [0, 1] to logits float32 [n, classes]."""


class PictureText(Record):
    """The words that go with a figure."""

    name: str
    """File name without its suffix, e.g. `confusion-matrix`."""
    title: str
    caption: str
    """One or two sentences: what is seen, how to read it."""
    alt: str
    """For who cannot see it."""


class Picture(PictureText):
    """One figure of the report."""

    file: FileRef
    """PNG."""


class Pictures(Record):
    """The figures in the order of the story."""

    pictures: tuple[Picture, ...]


class Classification(Record):
    """What an exported model makes of a split."""

    correct: int
    total: int
    confusion: tuple[tuple[int, ...], ...]
    """Images by class: rows true, columns predicted."""
    predictions: FileRef
    """Parquet, in the order of the split: index int32, label uint8, predicted uint8."""
