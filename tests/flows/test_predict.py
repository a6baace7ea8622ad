"""Tests of `predict.py` on pictures as programs and telephones write them."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.commands import PREDICT, Finished, run_script
from PIL import Image

from flows.graph import prepare_data, train_to
from tasks.champion.data import training_data
from tasks.champion.records import Accuracy, Facts
from tasks.champion.registry import Champions
from tasks.data import idx
from tasks.data.drawn import draw_many
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import open_store
from tasks.settings import Settings

pytestmark = pytest.mark.tensorflow

TEST, TRUTH = draw_many(40, seed=9)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact root with a champion that was trained on drawn digits for a few seconds.

    They have MNIST's form, so its record may say MNIST: `--fit auto` depends on the record.
    """
    from tasks.model.calibrate import calibrate
    from tasks.model.export import export
    from tasks.model.train import initialise

    folder = tmp_path_factory.mktemp("predict")
    for names, count, seed in ((IDX_FILES[:2], 3000, 0), (IDX_FILES[2:], 100, 1)):
        for name, array in zip(names, draw_many(count, seed), strict=True):
            (folder / name).write_bytes(idx.dumps(array))
    settings = Settings.model_validate(
        {
            "training": {"learning_rate": 2e-3},
            "network": {"conv_filters": [8, 16], "dense": [64]},
            "download": {"source": str(folder), "digests": "none"},
        }
    )
    executor = LocalExecutor(open_store(folder / "artifacts"))
    data = prepare_data(executor, settings)
    splits = data.splits
    shape = splits.shape
    start = initialise(executor, layers=settings.network, shape=shape, seed=0)
    network = train_to(executor, settings, splits.train, start, 400).network
    model = export(executor, network=network)
    calibration = calibrate(
        executor, train=splits.train, validation=splits.validation, shape=shape, model=model
    )
    accuracy = Accuracy(correct=1, total=1)
    known = training_data(executor.store, data.download, splits)
    facts = Facts(data=known.model_copy(update={"mnist": True}), validation=accuracy, test=accuracy)
    Champions(executor.store).promote(model.file, calibration, facts, "a test", "good", None)
    return folder / "artifacts"


def predict(root: Path, *arguments: str | Path) -> Finished:
    """Run `python flows/predict.py …` with its output in a file."""
    return run_script(PREDICT, *arguments, "--artifacts", root, cwd=root)


def predict_in_terminal(root: Path, *arguments: str | Path) -> tuple[int, list[str]]:
    """Run `python flows/predict.py …` in a pseudo-terminal, and return exit code and lines."""
    ours, theirs = pty.openpty()
    command = [sys.executable, str(PREDICT), *map(str, arguments), "--artifacts", str(root)]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=root)
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 65536):
            output += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), output.decode().splitlines()


def on_paper(digit: np.ndarray, side: int = 120, paper: int = 200, pen: int = 40) -> Image.Image:
    """Draw a digit dark on paper, larger, off the centre of a wide sheet."""
    ink = np.asarray(Image.fromarray(digit).resize((side, side), 3)) / 255
    sheet = np.full((side + 30, 2 * side), float(paper))
    sheet[10 : 10 + side, side - 10 : 2 * side - 10] += (pen - paper) * ink
    return Image.fromarray(sheet.round().astype(np.uint8))


def save_in_every_form(folder: Path) -> dict[str, int]:
    """Save digits as pictures of many forms, and return the digit in each file."""
    sheets = [on_paper(digit) for digit in TEST]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    alpha = Image.merge("LA", [Image.new("L", (28, 28)), Image.fromarray(TEST[8])])
    deep = np.asarray(sheets[9]).astype(np.uint16) * 257
    sheets[0].save(folder / "0.png")
    sheets[1].convert("RGB").save(folder / "1.jpg", quality=60)
    sheets[2].save(folder / "2.webp", quality=60)
    sheets[3].convert("P").save(folder / "3.bmp")
    sheets[4].save(folder / "4.gif", save_all=True, append_images=[sheets[5]])
    sheets[5].save(folder / "5.tif", compression="tiff_lzw")
    sheets[6].transpose(Image.Transpose.ROTATE_90).save(folder / "6.jpeg", exif=exif)
    sheets[7].save(folder / "7.jpg.png", "JPEG")
    alpha.save(folder / "8.png")
    Image.fromarray(deep).save(folder / "9.png")
    return {f.name: int(f.name[0]) for f in folder.iterdir()}


def test_pictures_of_every_form_are_read(root: Path, tmp_path: Path) -> None:
    truth = save_in_every_form(tmp_path)
    out, sheet = root / "scores.parquet", root / "sheet.png"
    done = predict(root, tmp_path, "--out", out, "--contact-sheet", sheet)
    assert done.code == 0, done.lines
    table = pq.read_table(out)
    names = [Path(file).name for file in table["file"].to_pylist()]
    assert names == sorted(truth)
    right = [p == truth[n] for p, n in zip(table["predicted"].to_pylist(), names, strict=True)]
    assert sum(right) >= 9, done.lines
    steps = dict(zip(names, table["fit"].to_pylist(), strict=True))
    assert steps["4.gif"].startswith("first frame of several, inverted, ")
    assert all("inverted" in text for text in steps.values())
    assert Image.open(sheet).size[1] > 300
    assert done.lines[-3:] == [
        f"10 pictures scored with champion {table['champion'][0]}: {out}",
        "10 pictures were fitted to the form of the training images",
        f"contact sheet: {sheet}",
    ]


HEAVY = """
import sys
from flows.cli.predict import predict_main

assert predict_main(sys.argv[1:]) == 0
heavy = {"tensorflow", "keras", "prefect", "onnx", "matplotlib", "sklearn"}
assert not heavy & {name.split(".")[0] for name in sys.modules}
"""


def test_tensorflow_and_prefect_are_not_imported(root: Path, tmp_path: Path) -> None:
    """They take seconds."""
    on_paper(TEST[3]).save(tmp_path / "digit.png")
    arguments = [tmp_path / "digit.png", "--artifacts", root, "--out", tmp_path / "out.parquet"]
    command = [sys.executable, "-c", HEAVY, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=PREDICT.parents[1])


def test_in_a_terminal_each_picture_has_its_line_and_no_file_is_written(
    root: Path, tmp_path: Path
) -> None:
    on_paper(TEST[3]).save(tmp_path / "digit3.png")
    on_paper(TEST[7]).save(tmp_path / "seven.jpg")
    Image.new("L", (90, 60), 230).save(tmp_path / "sheet of paper.png")
    os.mkfifo(tmp_path / "pipe.png")
    before = {path.name for path in root.iterdir()}
    code, lines = predict_in_terminal(root, tmp_path)
    assert code == 1
    assert [line.split() for line in lines[:2]] == [
        ["digit3.png", "3", *lines[0].split()[2:]],
        ["seven.jpg", "7", *lines[1].split()[2:]],
    ]
    assert all(line.endswith("%") for line in lines[:2])
    assert lines[2].split("  ")[0] == "sheet of paper.png"
    assert lines[2].endswith("blank")
    assert lines[-2].startswith(f"{tmp_path}/pipe.png: a pipe")
    assert lines[-1].startswith("error: 1 input was left out")
    assert {path.name for path in root.iterdir()} == before


def test_images_in_mnist_form_are_left_alone_and_the_scores_say_so(
    root: Path, tmp_path: Path
) -> None:
    images = np.concatenate([TEST, 255 - TEST[:2]])
    (tmp_path / "images").write_bytes(idx.dumps(images))
    answers = []
    for fit in ("auto", "none"):
        out = root / f"{fit}.parquet"
        done = predict(root, tmp_path / "images", "--out", out, "--fit", fit)
        assert done.code == 0, done.lines
        answers.append(pq.read_table(out))
    first, second = answers
    assert first["fit"].to_pylist() == [""] * 40 + ["inverted"] * 2
    assert first["p7"].to_pylist()[:40] == second["p7"].to_pylist()[:40]
    assert (np.array(first["predicted"].to_pylist()[:40]) == TRUTH).mean() > 0.9
    assert first["predicted"].to_pylist()[40:] == first["predicted"].to_pylist()[:2]

    done = predict(root, root / "auto.parquet")
    assert done.code == 1
    assert done.last.startswith(f"error: no picture to score: {root}/auto.parquet: ")


def test_without_a_champion_the_last_run_scores_if_asked(root: Path, tmp_path: Path) -> None:
    """A root with neither tells both ways."""
    empty = tmp_path / "empty"
    as_picture = tmp_path / "3.png"
    on_paper(TEST[3]).save(as_picture)
    for options in ((), ("--model", "latest")):
        done = run_script(PREDICT, as_picture, "--artifacts", empty, *options)
        assert done.code == 1
        assert done.last.startswith("error: ") and "no " in done.last
