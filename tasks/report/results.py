"""All that the stages of a run gave back."""

from dataclasses import dataclass

from tasks.records import Download, Evaluation, Metrics, Model, Pictures, Segment, Splits


@dataclass(frozen=True)
class Results:
    """What the stages of a run gave back."""

    download: Download
    splits: Splits
    segments: tuple[Segment, ...]
    evaluations: tuple[Evaluation, ...]
    """Of the test split: before training, then after each segment."""
    metrics: Metrics
    """Of the last evaluation."""
    model: Model
    pictures: Pictures
