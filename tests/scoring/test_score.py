"""Tests of scoring images with the champion."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import bars
from helpers.commands import small_disk
from PIL import Image
from scipy.special import softmax

from tasks.champion.records import Background, Champion
from tasks.champion.registry import Champions
from tasks.data import idx
from tasks.data.convert import to_table, write_parquet
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import Calibration
from tasks.runtime.errors import PipelineError
from tasks.scoring.outputs import check_output, check_sheet
from tasks.scoring.score import one_ahead, problem_summary, score_files, summary_lines
from tasks.settings import NetworkSettings, ScoreSettings

from ..champion.conftest import facts

pytestmark = pytest.mark.tensorflow

IMAGES, _ = bars.draw(50, seed=0)


def put_champion(
    root: Path, model: Path, temperature: float = 1.0, limit: float = 9.0, **data: object
) -> Champion:
    """Make a model the champion; the first 25 images are familiar."""
    from tasks.model.calibrate import compile_reader
    from tasks.model.calibration import unit_rows
    from tasks.model.checkpoint import write_tensors
    from tasks.model.onnx_graph import write_onnx
    from tasks.model.predictions import load_network

    champions = Champions(Store(root))
    champions.store.prepare()
    if model.parent != root:
        shutil.copy(model, root)
    network = load_network(root / "model.keras", facts().data.splits.shape)
    write_onnx(network, root / "model.onnx", temperature=temperature)
    features, _ = compile_reader(network, 8, 8)(IMAGES)
    tensors = {
        "familiar": unit_rows(features[:25]).astype(np.float16),
        "limit": np.array(limit),
        "temperature": np.array(temperature),
    }
    write_tensors(tensors, root / "calibration.safetensors")
    found, onnx, file = (
        FileRef(path=name, sha256=sha256(root / name), size=(root / name).stat().st_size)
        for name in ("model.keras", "model.onnx", "calibration.safetensors")
    )
    calibration = Calibration(file=file, onnx=onnx)
    return champions.promote(found, calibration, facts(**data), "a test", "good", None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact root with a champion whose weights are random, but large enough to tell."""
    from tasks.model.device import load_tensorflow
    from tasks.model.network import build_network

    load_tensorflow()
    root = tmp_path_factory.mktemp("score") / "artifacts"
    Store(root).prepare()
    network = NetworkSettings(conv_filters=(4,), conv_sizes=(3,), dense=(8,), initial_sigma=2.0)
    build_network(network, facts().data.splits.shape, seed=0).save(root / "model.keras")
    put_champion(root, root / "model.keras")
    return root


@pytest.fixture(scope="module")
def expected(root: Path) -> np.ndarray:
    """Probabilities of all images, from the model itself."""
    import keras

    logits = keras.models.load_model(root / "model.keras")(
        IMAGES[..., np.newaxis] / np.float32(255)
    ).numpy()
    result: np.ndarray = softmax(logits, axis=1)
    assert len(np.unique(result.argmax(axis=1))) > 1
    return result


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> ScoreSettings:
    return ScoreSettings(out=tmp_path / "out.parquet", batch=7, artifacts=root)


def probabilities(table: pa.Table) -> np.ndarray:
    return np.stack([table[f"p{c}"].to_numpy() for c in range(3)], axis=1)


def difference(table: pa.Table) -> float:
    """How much the second five rows differ from the first."""
    rows = probabilities(table)
    return float(np.abs(rows[5:] - rows[:5]).max())


def write_idx(path: Path, images: np.ndarray = IMAGES) -> str:
    path.write_bytes(idx.dumps(images))
    return str(path)


def test_files_of_every_kind_give_the_probabilities_of_the_model(
    tmp_path: Path, settings: ScoreSettings, expected: np.ndarray, root: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(10):
        Image.fromarray(IMAGES[n]).save(folder / f"{n}.png")
    write_idx(tmp_path / "a.idx", IMAGES[10:30])
    write_parquet(to_table(IMAGES[30:], np.zeros(20, np.uint8), 0), tmp_path / "b.parquet")
    result = score_files([str(folder), f"{tmp_path}/a.idx", f"{tmp_path}/b.parquet"], settings)
    assert result.problems == []
    assert result.images == 50

    table = pq.read_table(settings.out)
    assert table.column_names == ["file", "row", "predicted", "fit", "mark", "champion"] + [
        f"p{c}" for c in range(3)
    ]
    assert np.abs(probabilities(table) - expected).max() < 1e-5
    assert (table["predicted"].to_numpy() == expected.argmax(axis=1)).all()
    assert table["row"].to_pylist() == [0] * 10 + [*range(20)] + [*range(20)]
    assert table["file"].to_pylist()[9:11] == [str(folder / "9.png"), f"{tmp_path}/a.idx"]
    assert set(table["champion"].to_pylist()) == {Champions(Store(root)).champions()[-1].id}
    assert not any(table["fit"].to_pylist() + table["mark"].to_pylist())
    assert summary_lines(result) == [
        f"50 pictures scored with champion {result.scorer}: {tmp_path}/out.parquet"
    ]


def test_ink_on_paper_is_inverted(
    tmp_path: Path, settings: ScoreSettings, expected: np.ndarray
) -> None:
    both = np.concatenate([IMAGES[:5], 255 - IMAGES[:5]])
    result = score_files([write_idx(tmp_path / "a", both)], settings)
    assert summary_lines(result)[1] == "5 pictures were fitted to the form of the training images"
    table = pq.read_table(settings.out)
    assert table["fit"].to_pylist() == [""] * 5 + ["inverted"] * 5
    assert difference(table) < 1e-4

    score_files([f"{tmp_path}/a"], settings.model_copy(update={"fit": "none"}))
    table = pq.read_table(settings.out)
    assert not any(table["fit"].to_pylist())
    assert difference(table) > 0.1


@pytest.mark.parametrize(("background", "inverted"), [("light", 5), ("mixed", 0)])
def test_images_with_the_champions_background_are_not_inverted(
    tmp_path: Path, settings: ScoreSettings, root: Path, background: Background, inverted: int
) -> None:
    own = tmp_path / "own"
    put_champion(own, root / "model.keras", background=background)
    both = np.concatenate([IMAGES[:5], 255 - IMAGES[:5]])
    result = score_files(
        [write_idx(tmp_path / "a", both)], settings.model_copy(update={"artifacts": own})
    )
    steps = pq.read_table(settings.out)["fit"].to_pylist()
    assert steps == ["inverted" if inverted else ""] * 5 + [""] * 5
    assert result.changed == inverted


def test_pictures_of_another_size_need_a_fit(tmp_path: Path, settings: ScoreSettings) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    for name, shape in (("a.png", (8, 8)), ("b.png", (40, 30)), ("c.bmp", (8, 8))):
        picture = np.full(shape, 255, np.uint8)
        picture[2:-2, shape[1] // 2] = 0
        Image.fromarray(picture).save(folder / name)
    result = score_files([str(folder)], settings)
    assert result.problems == [f"{folder}/b.png: 40 × 30 pixels; the champion takes 8 × 8"]
    assert [a.name for a in result.tally.first] == ["a.png", "c.bmp"]

    result = score_files([str(folder)], settings.model_copy(update={"fit": "mnist"}))
    assert result.problems == []
    assert result.images == 3
    assert all("inverted" in fit for fit in pq.read_table(settings.out)["fit"].to_pylist())


def test_without_out_nothing_is_written(tmp_path: Path, settings: ScoreSettings) -> None:
    before = write_idx(tmp_path / "a", IMAGES[:2])
    result = score_files([before], settings.model_copy(update={"out": None}))
    assert [a.name for a in result.tally.first] == [f"{before} row 0", f"{before} row 1"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with pytest.raises(PipelineError, match="no picture to score"):
        score_files([f"{tmp_path}/nowhere"], settings.model_copy(update={"out": None}))


def test_only_an_earlier_contact_sheet_is_replaced(tmp_path: Path, settings: ScoreSettings) -> None:
    Image.fromarray(IMAGES[0]).save(tmp_path / "digit.png")
    with_sheet = settings.model_copy(update={"contact_sheet": tmp_path / "sheet.png"})
    for _ in range(2):  # the second time it lies among the inputs
        assert score_files([str(tmp_path)], with_sheet).images == 1
    assert Image.open(tmp_path / "sheet.png").size[0] > 500
    for path, said in (
        (tmp_path / "digit.png", "is one of the inputs and would be lost; name another file with"),
        (tmp_path / "sheet.jpg", "should end in .png"),
    ):
        with pytest.raises(PipelineError, match=said):
            check_sheet(path, [str(tmp_path)])


def test_images_unlike_the_training_images_are_marked(
    tmp_path: Path, root: Path, settings: ScoreSettings, expected: np.ndarray
) -> None:
    """Familiar are the first 25 images; the temperature makes answers less sure."""
    own = tmp_path / "own"
    put_champion(own, root / "model.keras", temperature=2.0, limit=1e-3)
    result = score_files(
        [write_idx(tmp_path / "a")], settings.model_copy(update={"artifacts": own})
    )
    table = pq.read_table(settings.out)
    marks = table["mark"].to_pylist()
    assert marks[:25] == [""] * 25
    assert "unfamiliar" in marks[25:]
    assert result.tally.marks["unfamiliar"] == marks.count("unfamiliar")
    assert np.allclose(probabilities(table), softmax(np.log(expected) / 2, axis=1), atol=1e-5)


def test_invalid_files_are_listed_and_the_others_scored(
    tmp_path: Path, settings: ScoreSettings
) -> None:
    (tmp_path / "text").write_text("seven")
    paths = [f"{tmp_path}/text", write_idx(tmp_path / "a"), f"{tmp_path}/nowhere"]
    result = score_files(paths, settings)
    assert result.images == pq.read_metadata(settings.out).num_rows == 50
    assert len(result.problems) == 2
    assert problem_summary(result) == "2 inputs were left out; the others are scored"


def test_without_images_no_file_is_written(tmp_path: Path, settings: ScoreSettings) -> None:
    columns = {name: ["x"] for name in ("file", "row", "predicted", "inverted", "champion")}
    pq.write_table(pa.table(columns), settings.out)  # of an earlier version
    before = settings.out.read_bytes()
    with pytest.raises(PipelineError, match=r"^no picture to score: .*/nowhere: no such file or f"):
        score_files([f"{tmp_path}/nowhere"], settings)
    assert settings.out.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.parquet"]


def test_missing_champion_error_gives_advice(tmp_path: Path) -> None:
    settings = ScoreSettings(artifacts=tmp_path / "empty")
    with pytest.raises(PipelineError, match=r"no champion in .* yet; train one with `python flow"):
        score_files([write_idx(tmp_path / "a")], settings)


def test_next_item_is_taken_while_the_function_works() -> None:
    taken = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for item in range(3):
            taken.release()
            yield item

    def double(item: int) -> int:
        assert item == 2 or [taken.acquire(timeout=60) for _ in range(2 - bool(item))]
        if item == 2:
            raise PipelineError("two")
        return 2 * item

    results = one_ahead(double, items())
    assert [next(results), next(results)] == [(0, 0), (1, 2)]
    with pytest.raises(PipelineError, match="two"):
        next(results)


def test_full_disk_fails_in_one_line_without_a_file(
    tmp_path: Path, settings: ScoreSettings
) -> None:
    with small_disk(tmp_path / "disk", "16k") as disk:
        (disk / "filler").write_bytes(bytes(8_000))
        full = settings.model_copy(update={"out": disk / "out.parquet", "batch": 2})
        with pytest.raises(PipelineError, match=r"scores: cannot write to .*; free some space, or"):
            score_files([write_idx(tmp_path / "a")], full)
        assert [p.name for p in disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("kind", ["device", "folder", "input", "foreign", "link"])
def test_output_that_would_overwrite_another_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Nothing but an earlier predictions file is replaced."""
    out = Path("/dev/null") if kind == "device" else tmp_path / "out.png"
    if kind == "folder":
        out.mkdir()
    elif kind == "link":
        out.symlink_to(tmp_path / "nothing")
    elif kind != "device":
        out.write_bytes(b"precious")
    paths = [str(tmp_path)] if kind == "input" else []
    with pytest.raises(PipelineError, match="--out"):
        check_output(out, paths)
    if kind in ("input", "foreign"):
        assert out.read_bytes() == b"precious"
