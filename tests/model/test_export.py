"""Tests of the exported `model.keras` and `model.onnx`, which need nothing of this project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.data.dataset import SplitArrays
from tasks.engine.store import PROJECT, Store
from tasks.model.checkpoint import restore_network
from tasks.model.export import export, write_reproducibly
from tasks.model.network import build_network
from tasks.model.predictions import load_classifier
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
    result: Model = run_stage(export, trained.network)
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
    model = restore_network(trained.network, root.path(trained.network.checkpoint))
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), np.asarray(model(pixels)), rtol=1e-4, atol=1e-4
    )


OTHER_PROGRAM = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
probabilities, = session.run(["probabilities"], {"image": np.load(sys.argv[2])})
np.save(sys.argv[3], probabilities)
assert not {"tasks", "tensorflow", "keras"} & {name.split(".")[0] for name in sys.modules}
"""


def test_onnx_runtime_answers_as_keras_without_this_project(
    root: Store, exported: Model, splits: Splits, arrays: Arrays, python: Python, tmp_path: Path
) -> None:
    images = arrays(splits.test).images
    np.save(tmp_path / "images.npy", images)
    assert exported.onnx
    python(OTHER_PROGRAM, root.path(exported.onnx), tmp_path / "images.npy", tmp_path / "out.npy")
    expected = load_classifier(root.path(exported.file), splits.shape)(images)
    found = np.load(tmp_path / "out.npy")
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(found, expected, atol=1e-5)


OLD_KERAS = """
import sys
import keras
import numpy as np

assert keras.__version__ == sys.argv[1]
for model in sys.argv[2:]:
    network = keras.models.load_model(model)
    logits = network(np.zeros((1, *network.input_shape[1:]), np.float32))
    assert np.isfinite(logits).all()
"""


@pytest.mark.network
def test_oldest_allowed_keras_opens_the_models(
    root: Store, exported: Model, splits: Splits, tmp_path: Path
) -> None:
    """The oldest one that pyproject.toml allows, fetched from the package index."""
    dependencies = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    (oldest,) = (d.partition(">=")[2] for d in dependencies if re.match("keras>=", d))
    oldest += ".0" * (2 - oldest.count("."))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*pip, f"keras=={oldest}"], check=True)
    settings = NetworkSettings(normalisation=True, dropout=0.5, pooling=("average",))
    build_network(settings, splits.shape, seed=0).save(tmp_path / "dated.keras")
    write_reproducibly(tmp_path / "dated.keras", tmp_path / "normalised.keras")
    models = [str(root.path(exported.file)), str(tmp_path / "normalised.keras")]
    subprocess.run(
        [sys.executable, "-c", OLD_KERAS, oldest, *models],
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )


SCRIPT = """
import sys
from pathlib import Path
from tasks.model.export import export, write_reproducibly
from tasks.model.network import build_network
from tasks.model.predictions import load_classifier
from tasks.records import Network
from tasks.engine.store import PROJECT, Store

with Store(Path(sys.argv[1])).workspace("elsewhere", "2" * 64) as work:
    model = export.function(work, Network.model_validate_json(sys.argv[2]))
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
    printed = python(SCRIPT, root.root, trained.network.model_dump_json()).stdout
    other = Model.model_validate(json.loads(printed))
    assert other.file.path != exported.file.path
    assert other.file.sha256 == exported.file.sha256
    assert other.onnx
    assert exported.onnx
    assert other.onnx.sha256 == exported.onnx.sha256


def test_same_process_writes_the_same_bytes(
    run_stage: Callable[..., Any],
    exported: Model,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
) -> None:
    again = run_stage(export, trained.network)
    assert again.file.sha256 == exported.file.sha256


def test_archive_has_no_date_and_no_other_file_is_written(root: Store, exported: Model) -> None:
    path = root.path(exported.file)
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.keras", "model.onnx"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
        metadata = json.loads(archive.read("metadata.json"))
    assert "keras_version" in metadata
    assert "date_saved" not in metadata
