"""Tests of runs that are kept, and of comparisons of two."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.arrays import noise
from helpers.summaries import score, summary
from scipy.stats import binomtest

from flows.cli.pipeline import pipeline_main
from tasks.data.dataset import SplitArrays
from tasks.engine import Store, open_store
from tasks.engine.models import FileRef
from tasks.report.compare import compare, compare_pairs, comparison_page, write_comparison
from tasks.report.runs import (
    Curve,
    KeptRun,
    changed_options,
    find_run,
    keep,
    kept_numbers,
    listing,
    read_run,
)
from tasks.report.summary import Score
from tasks.runtime.errors import PipelineError
from tasks.settings import Settings, TrainingSettings

ABSENT = FileRef(path="convert/000000000000/validation.parquet", sha256="c" * 64, size=1)
CURVE = Curve(iteration=[1, 101], accuracy=[0.1, 0.9], loss=[2.3, None])


def kept(number: int, errors: list[tuple[int, int, int]], **changes: Any) -> KeptRun:
    """Return a run on 5,000 validation images with some errors (place, true, predicted)."""
    right = Score(**score(5_000 - len(errors), 5_000))
    made = summary(number=number, validation=right, **changes)
    return KeptRun(summary=made, curve=CURVE, validation=ABSENT, errors=errors)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path / "artifacts")
    store.prepare()
    keep(store, kept(1, [(0, 7, 1), (5, 3, 5)], name="slow"))
    keep(store, kept(2, [(5, 3, 8), (9, 4, 9)], name="quick"))
    return store


def test_a_kept_run_is_read_as_it_was(store: Store) -> None:
    assert kept_numbers(store) == [1, 2]
    assert read_run(store, 1) == kept(1, [(0, 7, 1), (5, 3, 5)], name="slow")
    assert [find_run(store, wanted).summary.number for wanted in ("1", "slow", "latest")] == [
        1,
        1,
        2,
    ]
    _, first, second = listing([read_run(store, 1), read_run(store, 2)])
    assert "slow --seed 4711 --learning-rate 0.003 --dense 64,32" in first
    assert "99.96" in second and "98.80" in second and "98.57" in second


def test_a_name_that_no_run_has_lists_the_nearest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"slo.*slow"):
        find_run(store, "slo")
    with pytest.raises(PipelineError, match="no run is kept"):
        find_run(open_store(tmp_path / "other"), "1")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"summary": {"name": 1}}', "\0" * 9])
def test_a_damaged_run_is_one_line(store: Store, content: str, capsys: Any) -> None:
    (store.root / "runs/000001.json").write_text(content)
    with pytest.raises(PipelineError, match=r"runs/000001\.json"):
        read_run(store, 1)
    assert pipeline_main(["runs", "--artifacts", str(store.root)]) == 0
    assert "quick" in capsys.readouterr().out
    assert pipeline_main(["compare", "1", "2", "--artifacts", str(store.root)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_options_lead_back_to_the_settings() -> None:
    settings = Settings(
        preset="fast", training=TrainingSettings.model_validate({"seed": 3, "batch_size": 32})
    )
    dumped = settings.model_dump(mode="json")
    options = changed_options(dumped)
    assert options[0] == "--preset fast" and "--seed 3" in options and "--batch-size 32" in options
    assert changed_options(Settings().model_dump(mode="json")) == []
    assert changed_options(dumped | {"of_another_version": 1}) == options


@pytest.mark.parametrize(("one", "other"), [(0, 0), (7, 60), (10, 10), (0, 5_000)])
def test_the_paired_test_is_mcnemars(one: int, other: int) -> None:
    found = compare_pairs(5_000, one, other)
    assert found.difference == (other - one) / 5_000
    assert found.low < found.difference + 1e-3 and found.difference - 1e-3 < found.high
    wanted = binomtest(min(one, other), one + other).pvalue if one + other else 1
    assert found.p == pytest.approx(wanted)


def test_the_interval_covers_the_true_difference_in_95_of_100_experiments() -> None:
    draws = np.random.default_rng(0).multinomial(5_000, [0.01, 0.004, 0.986], 1_000)
    inside = [
        found.low <= 0.004 - 0.01 <= found.high
        for one, other, _ in draws.tolist()
        for found in [compare_pairs(5_000, one, other)]
    ]
    assert 0.93 < np.mean(inside) < 0.97


def test_images_that_flipped_have_both_answers(store: Store) -> None:
    found = compare(read_run(store, 1), read_run(store, 2))
    assert [(f.place, f.true, f.first, f.second) for f in found.fixed] == [(0, 7, 1, 7)]
    assert [(f.place, f.true, f.first, f.second) for f in found.broken] == [(9, 4, 4, 9)]
    assert found.classes == (("4", 0, 1), ("7", 1, 0))
    assert found.paired and (found.paired.only_first, found.paired.only_second) == (1, 1)


def test_the_page_of_a_comparison_shows_settings_and_images(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_run(store, 1)
    training = first.summary.settings["training"] | {"seed": 8}
    second = kept(2, [(9, 4, 9)], settings=first.summary.settings | {"training": training})
    found = compare(first, second)
    assert found.settings == (("--seed", "4711", "8"),)
    assert "no longer kept" in comparison_page(store, found), "the validation images are gone"
    split = SplitArrays(np.arange(100, 110), noise(10, 28, 28), np.zeros(10, np.uint8))
    monkeypatch.setattr(Store, "path", lambda *_: Path())
    monkeypatch.setattr("tasks.report.compare.read_split", lambda _: split)
    page = comparison_page(store, found)
    assert "--seed" in page and "A 7: first 1, then 7" in page and "row 109" in page
    assert write_comparison(store, found).endswith("runs/compare-1-2.html")
    index = (store.root / "runs/index.html").read_text()
    assert "compare-1-2.html" in index and "slow" in index and "latest/report" in index


@pytest.mark.parametrize(
    "changes", [{"class_names": [*"abcdefghij"]}, {"validation_sha256": "d" * 64}]
)
def test_runs_of_other_data_are_compared_as_far_as_they_can_be(
    store: Store, changes: dict[str, Any], capsys: Any
) -> None:
    keep(store, kept(3, [], **changes))
    assert pipeline_main(["compare", "1", "3", "--artifacts", str(store.root)]) == 0
    printed = capsys.readouterr().out
    assert "not compared one by one: the runs have other" in printed
    assert "99.96" in printed and "McNemar" not in printed


def test_open_shows_the_report_only_after_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("flows.cli.pipeline.webbrowser.open", opened.append)
    for code in (1, 0):
        monkeypatch.setattr("flows.cli.pipeline.run_unchanged_or_flow", lambda _, code=code: code)
        assert pipeline_main(["--open", "--artifacts", str(tmp_path)]) == code
    assert opened == [(tmp_path / "latest/report/index.html").as_uri()]
