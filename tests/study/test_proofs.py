"""Error rates of studies, by simulation of trials with the spread between seeds that was measured.

`STUDIES=1000 pytest tests/study/test_proofs.py -s` simulates as many studies of each kind, and
prints the rates. The usual run simulates few, and its limits allow for that.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from helpers.made_up import IMAGES, result
from scipy.stats import binom

from tasks.statistics import clopper_pearson
from tasks.study.answer import Row, compare, make_row
from tasks.study.conclusions import failures_to_train
from tasks.study.decide import DEFAULT_SEEDS, Look, SeedBudget
from tasks.study.result import RunResult
from tasks.study.run import look_until_decided

pytestmark = pytest.mark.slow

STUDIES = int(os.environ.get("STUDIES", "30"))
SPREAD = 0.0007
"""Standard deviation of the test accuracy between seeds, and 0.0008 of the differences by seed:
0.07 and 0.08 points in docs/EXERCISES.md of 24 November 2026, over 21 variants of `fast`."""
IN_COMMON = 0.3
"""Share of the variance that variants with the same seed have in common: 1 - 0.8² / (2 x 0.7²)."""
TAILS = {"normal": None, "heavy": 3}
"""Degrees of freedom of Student's t, scaled to the same spread."""


def draw(rng: np.random.Generator, size: tuple[int, ...], freedom: int | None) -> np.ndarray:
    """Return random numbers with a standard deviation of 1."""
    if freedom is None:
        return rng.standard_normal(size)
    return rng.standard_t(freedom, size) / (freedom / (freedom - 2)) ** 0.5


def simulate(
    rng: np.random.Generator,
    effects: Sequence[float],
    *,
    freedom: int | None = None,
    spread: float = SPREAD,
    ruin: float = 0.0,
    budget: str = DEFAULT_SEEDS,
) -> tuple[tuple[Row, ...], int]:
    """Run a study on made-up trials; return its compared rows and the number of seeds.

    Args:
        rng: source of the trials.
        effects: true differences of the variants from the reference.
        freedom: see `TAILS`.
        spread: standard deviation between seeds.
        ruin: probability that a run of the last variant fails to train.
        budget: value of --seeds.
    """
    planned = SeedBudget.parse(budget)
    size = len(effects) + 1, planned.last
    noise = IN_COMMON**0.5 * draw(rng, size[1:], freedom)
    noise = noise + (1 - IN_COMMON) ** 0.5 * draw(rng, size, freedom)
    right = np.rint(
        IMAGES * np.minimum(1, 0.99 + np.array([[0], *([e] for e in effects)]) + spread * noise)
    )
    ruined = rng.random(size) < ruin
    ruined[:-1] = False

    def trial(variant: int, seed: int) -> RunResult:
        if ruined[variant, seed]:
            return result(8900, never_predicted=1)
        return result(int(right[variant, seed]), 10 * float(np.exp(0.1 * rng.standard_normal())))

    trials = [[trial(v, n) for n in range(size[1])] for v in range(size[0])]

    def rows_of(seeds: int, stopped: Mapping[str, int]) -> list[Row]:
        return [
            make_row(f"{v}", "", None, of[: stopped.get(f"{v}", seeds)])
            for v, of in enumerate(trials)
        ]

    rows, looks = look_until_decided(planned.looks(), rows_of)
    return rows, looks[-1].seeds


def report(what: str, hits: Sequence[bool]) -> float:
    """Print a rate with its interval, and return it."""
    low, high = clopper_pearson(sum(hits), len(hits))
    rate = sum(hits) / len(hits)
    print(f"{what}: {rate:.1%} of {len(hits)} ({low:.1%} to {high:.1%})")
    return rate


def at_most(share: float) -> float:
    """Return the largest rate that is no proof, at 1 in 1,000, of a share above this one."""
    return float(binom.ppf(0.999, STUDIES, share)) / STUDIES


def at_least(share: float) -> float:
    """Return the smallest rate that is no proof, at 1 in 1,000, of a share below this one."""
    return float(binom.ppf(0.001, STUDIES, share)) / STUDIES


def claimed(rows: Sequence[Row], kinds: Sequence[str] = ("higher", "lower")) -> list[bool]:
    """Return for each comparison whether one of these claims is made."""
    return [row.versus is not None and row.versus.verdict in kinds for row in rows[1:]]


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("variants", [1, 6])
def test_of_studies_without_a_difference_5_percent_claim_one(variants: int, tails: str) -> None:
    rng = np.random.default_rng(variants)
    studies = [simulate(rng, [0.0] * variants, freedom=TAILS[tails]) for _ in range(STUDIES)]
    what = f"no difference, {variants} variants, {tails} tails"
    wrong = report(f"{what}: a claim", [any(claimed(rows)) for rows, _ in studies])
    wrong_times = [
        any(row.time and row.time.verdict in ("higher", "lower") for row in rows[1:])
        for rows, _ in studies
    ]
    report(
        f"{what}: said to be the same", [c for rows, _ in studies for c in claimed(rows, ["same"])]
    )
    assert wrong <= at_most(0.05)
    assert report(f"{what}: a claim about times", wrong_times) <= at_most(0.05)


@pytest.mark.parametrize("tails", TAILS)
def test_of_studies_at_the_margin_5_percent_claim_an_equality(tails: str) -> None:
    rng = np.random.default_rng(7)
    studies = [simulate(rng, [0.001] * 3, freedom=TAILS[tails]) for _ in range(STUDIES)]
    wrong = [any(claimed(rows, ["same", "lower"])) for rows, _ in studies]
    assert report(f"0.10 points, {tails} tails: said to be the same", wrong) <= at_most(0.05)


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("variants", [1, 6])
def test_difference_of_0_15_points_is_found_in_80_percent(variants: int, tails: str) -> None:
    rng = np.random.default_rng(variants + 10)
    effects = [0.0015] + [0.0] * (variants - 1)
    studies = [simulate(rng, effects, freedom=TAILS[tails]) for _ in range(STUDIES)]
    what = f"0.15 points, one of {variants} variants, {tails} tails"
    print(f"{what}: {np.mean([seeds for _, seeds in studies]):.1f} seeds")
    found = report(f"{what}: found", [claimed(rows, ["higher"])[0] for rows, _ in studies])
    assert found >= at_least(0.8)
    others = [any(claimed(rows)[1:]) for rows, _ in studies]
    assert report(f"{what}: another is claimed", others) <= at_most(0.05)


def test_variant_that_ruins_one_seed_of_four_is_named_in_90_percent() -> None:
    rng = np.random.default_rng(20)
    named = []
    for effect in (0.0, -0.01):
        studies = [simulate(rng, [effect], ruin=0.25)[0] for _ in range(STUDIES)]
        hits = ["“1” fails to train" in " ".join(failures_to_train(rows)) for rows in studies]
        named.append(report(f"one seed of four ruined, {100 * effect:.0f} point: named", hits))
        assert named[-1] >= at_least(0.9)


def test_simulation_notices_looks_without_correction() -> None:
    rng = np.random.default_rng(1)
    looks = [Look(seeds=n, share=1.0) for n in range(4, 13)]
    studies = [simulate(rng, [0.0], budget="12")[0] for _ in range(100)]
    wrong = [any(claimed(compare(rows, looks))) for rows in studies]
    assert report("all of the error probability at each of nine looks: a claim", wrong) > 0.1
