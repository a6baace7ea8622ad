"""Tests of the exported `model.keras`, which needs nothing of this project."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.data.dataset import SplitArrays
from tasks.engine.store import Store
from tasks.model.checkpoint import restore_network
from tasks.model.export import export
from tasks.records import Model, Segment, Split, Splits
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    Arrays = Callable[[Split], SplitArrays]
    Python = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def exported(
    run_stage: Callable[..., Any], splits: Splits, trained: Segment, network: NetworkSettings
) -> Model:
    result: Model = run_stage(export, splits.shape, trained.checkpoint, network)
    return result


PLAIN_KERAS = """
import sys
import keras
import numpy as np

model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
assert not [name for name in sys.modules if name.split(".")[0] == "tasks"]
"""


def test_keras_loads_the_model_without_this_project(
    root: Store,
    exported: Model,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    arrays: Arrays,
    python: Python,
    tmp_path: Path,
) -> None:
    pixels = arrays(splits.test).images[..., np.newaxis].astype(np.float32) / np.float32(255)
    np.save(tmp_path / "pixels.npy", pixels)
    python(PLAIN_KERAS, root.path(exported.file), tmp_path / "pixels.npy", tmp_path / "logits.npy")
    model = restore_network(root.path(trained.checkpoint.file), network, splits.shape)
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), np.asarray(model(pixels)), rtol=1e-4, atol=1e-4
    )


SCRIPT = """
import sys
from pathlib import Path
from tasks.model.export import export
from tasks.records import Checkpoint, Shape
from tasks.settings import NetworkSettings
from tasks.engine.store import Store

with Store(Path(sys.argv[1])).workspace("elsewhere", "2" * 64) as work:
    model = export.function(
        work,
        Shape.model_validate_json(sys.argv[2]),
        Checkpoint.model_validate_json(sys.argv[3]),
        NetworkSettings.model_validate_json(sys.argv[4]),
    )
print(model.model_dump_json())
"""


def test_other_process_writes_the_same_bytes(
    root: Store,
    exported: Model,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    python: Python,
) -> None:
    models = [m.model_dump_json() for m in (splits.shape, trained.checkpoint, network)]
    other = Model.model_validate(json.loads(python(SCRIPT, root.root, *models).stdout))
    assert other.file.path != exported.file.path
    assert other.file.sha256 == exported.file.sha256


def test_same_process_writes_the_same_bytes(
    run_stage: Callable[..., Any],
    exported: Model,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
) -> None:
    again = run_stage(export, splits.shape, trained.checkpoint, network)
    assert again.file.sha256 == exported.file.sha256


def test_archive_has_no_date_and_no_other_file_is_written(root: Store, exported: Model) -> None:
    path = root.path(exported.file)
    assert [p.name for p in path.parent.iterdir()] == ["model.keras"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
        metadata = json.loads(archive.read("metadata.json"))
    assert "keras_version" in metadata
    assert "date_saved" not in metadata
