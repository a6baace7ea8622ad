"""The model that scores: the champion, or the network of the last run."""

from dataclasses import dataclass

from tasks.champion.data import training_data
from tasks.champion.records import TrainingData
from tasks.champion.registry import Champions, registry_names
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.store import Store
from tasks.records import Calibration, Download, Splits
from tasks.report.summary import keys_of_latest
from tasks.runtime.errors import PipelineError

LATEST = "the last run"
"""Name of the last run's network in answers."""


@dataclass(frozen=True)
class ScoringModel:
    """A model, how its answers are to be read, and what it was trained on."""

    name: str
    """Id of the champion, or `LATEST`."""
    data: TrainingData
    onnx: FileRef
    calibration: FileRef


def choose_model(champions: Champions, *, latest: bool) -> ScoringModel:
    """Return the model that scores.

    Args:
        champions: the registry.
        latest: whether the last run's network scores, not the champion.

    Raises:
        PipelineError: it is damaged, or there is none.
    """
    if latest:
        return last_run(champions.store)
    if champion := champions.current():
        data = champion.facts.data
        return ScoringModel(champion.id, data, champion.onnx, champion.calibration)
    others = [name for name in registry_names(champions.store) if name != champions.name]
    named = f"; there are others: --champion {', '.join(others)}" if others else ""
    advice = f"train one with {champions.command('')}"
    if kept_out := champions.history():
        advice = f"the last challenger was kept out: {kept_out[-1].why}"
    if champions.store.has_latest():
        advice += ", or score with the network of the last run: --model latest"
    raise PipelineError(f"no champion in {champions.address} yet; {advice}{named}")


def last_run(store: Store) -> ScoringModel:
    """Return the network of the last run.

    Raises:
        PipelineError: there is no run, or its results have gone.
    """
    keys = keys_of_latest(store)
    records = {record.stage: record for record in store.all_records() if record.key in keys}
    try:
        download = Download.model_validate(output(records, "download"))
        splits = Splits.model_validate(output(records, "drop", "convert"))
        made = Calibration.model_validate(output(records, "calibrate"))
    except KeyError as error:
        raise PipelineError(
            f"--model latest: no run in {store.address} yet, or its results have gone; train one"
            " with python flows/pipeline.py"
        ) from error
    return ScoringModel(LATEST, training_data(store, download, splits), made.onnx, made.file)


def output(records: dict[str, StageRecord], *stages: str) -> object:
    """Return the output of the first of these stages that has run.

    Raises:
        KeyError: none has.
    """
    chosen = next((stage for stage in stages if stage in records), stages[-1])
    return records[chosen].output
