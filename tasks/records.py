"""Records that stages pass to each other: facts and references to files, no arrays.

    Download → Splits → Audit; Splits × Audit → Splits, if rows are to be dropped
    Splits → Network (0) → Network (1) → … , each × validation and test → Evaluation
    last Evaluation → Metrics; last Network × Splits → LabelIssues
    last Network → LayerOutputs, Excitation, Attribution, Embedding; all of them → Pictures
    last Network × last Evaluation → LiveNetwork

Facts are part of the keys of later stages, except those marked `NotInKey`, which differ from
run to run. Code in this module does not influence results.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from tasks.engine.models import FileRef, NotInKey, Record
from tasks.settings import NetworkSettings


class IdxFiles(Record):
    """The four files of the data set in their published format, uncompressed."""

    train_images: FileRef
    train_labels: FileRef
    test_images: FileRef
    test_labels: FileRef
    class_names: tuple[str, ...] = ()
    """In the order of the labels; empty if the source has no names."""


class Download(Record):
    """Downloaded files and their source."""

    files: IdxFiles
    source: str
    notes: tuple[str, ...] = ()
    """What was done to the data on the way, one phrase each."""


class Split(Record):
    """One of the three disjoint parts of the data set."""

    rows: int
    file: FileRef
    """Parquet: index int32, label uint8, image uint8 [height, width]."""


class Shape(Record):
    """Image size and number of classes of all splits."""

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    classes: int


class Dropped(Record):
    """Numbers of rows that were left out for one reason."""

    kind: str
    """A value of `--drop`."""
    train: int
    validation: int


class Splits(Record):
    """The data set in splits for training."""

    train: Split
    validation: Split
    test: Split
    shape: Shape
    class_names: tuple[str, ...] = ()
    """One for each class, in the order of the labels."""
    dropped: tuple[Dropped, ...] = ()
    """For each value of `--drop`, a row counted for the first that applies; empty without."""


class SplitFacts(Record):
    """Facts about the images of one split."""

    name: str
    classes: tuple[int, ...]
    """Number of images of each class."""
    grey_levels: int
    """Number of different grey values."""
    darkest: int
    """Smallest grey value."""
    lightest: int
    """Largest grey value."""
    light_ground: int
    """Number of images with a light ground."""

    @property
    def images(self) -> int:
        """Number of images."""
        return sum(self.classes)


class Finding(Record):
    """Something about the data that a user should know."""

    severity: Literal["warning", "note"]
    """A note may be as it should be; a warning hardly."""
    text: str
    """One sentence without a full stop."""


class Audit(Record):
    """Results of a look at the data before training."""

    splits: tuple[SplitFacts, ...]
    """Train, validation, test."""
    findings: tuple[Finding, ...]
    """Warnings first."""
    file: FileRef
    """Parquet: one row for each image that something is found about. `kind` and `split` strings,
    `index` int32 (row in the original file), `label` uint8; for a duplicate `other_split`,
    `other_index` and `other_label` of the image that it repeats, and `correlation` float32."""


class LabelCheck(Record):
    """Number of doubtful labels in one split."""

    name: str
    images: int
    correct: int
    """Images that the network classifies as labelled."""
    doubtful: int
    """Images whose label the network contradicts with confidence."""


class LabelIssues(Record):
    """Labels that the trained network contradicts: candidates for wrong labels."""

    splits: tuple[LabelCheck, ...]
    """Train, validation, test."""
    file: FileRef
    """Parquet, the most contradicted label first: `split` string, `index` int32 (row in the
    original file), `label` and `suggested` uint8, and their probabilities `label_probability` and
    `suggested_probability` float32."""


class Device(Record):
    """Processor of a training, with precision."""

    kind: Literal["CPU", "GPU"]
    name: str
    reason: str
    """Reason of the choice."""
    precision: Literal["float32", "bfloat16"] = "float32"


class Network(Record):
    """A network with its weights after a number of iterations."""

    iteration: int
    checkpoint: FileRef
    """Safetensors: weights, Adam's moments and the iteration; see model/checkpoint.py."""
    layers: NetworkSettings
    shape: Shape
    """Size of its images and number of classes."""


class Segment(Record):
    """One uninterrupted stretch of training."""

    network: Network
    """The network at its end."""
    curve: FileRef
    """Parquet: iteration int32, accuracy and loss float32 of the batches reported."""
    device: Annotated[Device, NotInKey]
    seconds: Annotated[float, NotInKey]
    """Wall time of the iterations, without loading and compiling."""
    cpu_seconds: Annotated[float, NotInKey]
    """Processor time of the iterations; a better measure on a shared machine."""


class Classification(Record):
    """Predictions for a split."""

    correct: int
    total: int
    confusion: tuple[tuple[int, ...], ...]
    """Images by class: rows true, columns predicted."""
    predictions: FileRef
    """Parquet, in the order of the split: index int32, label uint8, predicted uint8; of a network,
    not of an exported model, also probabilities p0 … float32, and label_name, predicted_name if
    the classes have names."""


class Evaluation(Record):
    """Evaluation of a network on the images that it is not trained on."""

    iteration: int
    validation: Classification
    test: Classification


class ClassMetrics(Record):
    """Precision, recall and F1 of one class; None where the divisor is zero."""

    support: int
    """Images of this class in the split."""
    precision: float | None
    """Share of the images predicted as this class that belong to it."""
    recall: float | None
    """Share of the images of this class that are predicted as it."""
    f1: float | None
    """Harmonic mean of the two."""


class ConfusedPair(Record):
    """Images of one class predicted as another."""

    true: int
    predicted: int
    count: int


class ConfidenceBin(Record):
    """The images whose highest probability lies above `low` and up to `high`."""

    low: float
    high: float
    count: int
    correct: int
    confidence: float | None
    """Mean highest probability; None without images."""


class Metrics(Record):
    """Metrics of predictions by class and by confidence."""

    classes: tuple[ClassMetrics, ...]
    """Metrics in the order of the classes."""
    confused: tuple[ConfusedPair, ...]
    """Every pair with an error, the most frequent first."""
    bins: tuple[ConfidenceBin, ...]
    calibration_error: float
    """Expected calibration error, from 0 to 1."""


class LayerOutputs(Record):
    """Weights of the layers, and their outputs for some images."""

    file: FileRef
    """Safetensors. For each layer `<name>/outputs` float32 [images, height, width, filters] or
    [images, neurons], after what follows the layer (pooling, ReLU); for each convolutional one
    `<name>/weights` float32 [h, w, in, out]."""
    layers: tuple[str, ...]
    """Names of the layers in order, from `conv1` to the logits."""
    test_images: tuple[int, ...]
    """Rows of the test split."""


class Excitation(Record):
    """Inputs that excite each class most."""

    file: FileRef
    """Safetensors: `images` float32 [classes, height, width] in [0, 1], and the network's
    outputs for them: `logits` and `probabilities` float32 [classes], each of its own class."""


class Attribution(Record):
    """Attribution of the predicted and the true class of some images to pixels."""

    file: FileRef
    """Safetensors, float32: `gradient/predicted`, `gradient/true` [images, height, width] and
    `occlusion/predicted`, `occlusion/true` [images, rows, columns], in units of the logit."""
    test_images: tuple[int, ...]
    """Rows of the test split."""
    predicted: tuple[int, ...]
    patch: int
    """Side of the square that was covered, in pixels."""


class Embedding(Record):
    """Map of some test images; similar ones for the network are close to each other."""

    file: FileRef
    """Parquet: index int32 (row of the test split), label uint8, predicted uint8, x and y
    float32 (NaN if the network's outputs are not finite)."""
    layer: str
    """The layer whose outputs are mapped."""
    rows: int


class Model(Record):
    """A trained network in the forms that other programs open."""

    file: FileRef
    """For `keras.models.load_model`: from float32 [n, height, width, 1] in [0, 1] to logits
    float32 [n, classes]."""
    onnx: Annotated[FileRef | None, NotInKey] = None
    """The same network as ONNX, see model/onnx_graph.py; None for a champion's model."""


class Calibration(Record):
    """How the answers of a model are to be read."""

    file: FileRef
    """Safetensors: `familiar` float16 [n, neurons], features of training images, each of length 1;
    `limit` float64, largest distance from them; `temperature` float64, divisor of the logits."""
    onnx: FileRef
    """The model as ONNX, its probabilities with this temperature; see model/onnx_graph.py."""


class PictureText(Record):
    """Title, caption and alternative text of a figure."""

    name: str
    """File name without its suffix, e.g. `confusion-matrix`."""
    title: str
    caption: str
    """One or two sentences: contents, and how to read them."""
    alt: str
    """Alternative text for screen readers."""
    section: str = ""
    """Place on the page, the same for neighbouring figures; see draw.py."""


class Picture(PictureText):
    """One figure of the report."""

    file: FileRef
    """PNG."""


class Pictures(Record):
    """The figures in the order of the story."""

    pictures: tuple[Picture, ...]


class LiveNetwork(Record):
    """Contents of the live network of the report page."""

    file: FileRef | None
    """JSON, see `Facts` in payload.js; None if the network is too large for a page."""
    reason: str
    """Reason if there is none, a sentence; otherwise empty."""


@dataclass(frozen=True)
class Results:
    """The records of all stages of a run."""

    download: Download
    splits: Splits
    audit: Audit
    """Of the splits before anything is dropped."""
    network: NetworkSettings
    """Layers of the trained network."""
    segments: tuple[Segment, ...]
    evaluations: tuple[Evaluation, ...]
    """Before training, then after each segment."""
    images: Split
    """The images trained on, drawn ones included."""
    metrics: Metrics
    """Metrics of the last evaluation."""
    label_issues: LabelIssues
    model: Model
    live: LiveNetwork
    pictures: Pictures
