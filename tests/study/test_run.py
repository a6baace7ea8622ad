"""Tests of how a study goes on: until each variant is decided."""

from collections.abc import Mapping

from helpers.made_up import MANY, row

from tasks.study.answer import Row
from tasks.study.decide import plan_looks
from tasks.study.run import look_until_decided


def test_variant_that_is_decided_gets_no_further_seeds() -> None:
    looks = plan_looks(3, 12)
    first, last = looks[0].seeds, looks[-1].seeds
    variants = {
        "as it is": MANY,
        "far worse": [right - 500 for right in MANY],
        "unclear": [right - 10 * (n % 2) for n, right in enumerate(reversed(MANY))],
    }
    asked = []

    def rows_of(seeds: int, stopped: Mapping[str, int]) -> list[Row]:
        asked.append((seeds, dict(stopped)))
        return [row(name, of[: stopped.get(name, seeds)]) for name, of in variants.items()]

    rows, seen = look_until_decided(looks, rows_of)
    assert asked == [(first, {}), (last, {"far worse": first})]
    assert seen == looks
    assert [len(r.results) for r in rows] == [last, first, last]
    assert rows[1].versus and rows[1].versus.verdict == "lower"
    assert rows[2].versus and rows[2].versus.verdict == "undecided"


def test_study_ends_when_every_variant_is_decided() -> None:
    looks = plan_looks(3, 12)

    def rows_of(seeds: int, _stopped: Mapping[str, int]) -> list[Row]:
        return [row("as it is", MANY[:seeds]), row("worse", [n - 500 for n in MANY[:seeds]])]

    rows, seen = look_until_decided(looks, rows_of)
    assert seen == looks[:1]
    assert rows[1].decided


def test_claims_of_a_stopped_variant_rest_on_its_own_looks() -> None:
    looks = plan_looks(3, 12)
    worse = [n - 500 for n in MANY]

    def rows_of(seeds: int, stopped: Mapping[str, int]) -> list[Row]:
        return [
            row("as it is", MANY[:seeds]),
            row("worse", worse[: stopped.get("worse", seeds)]),
            row("unclear", [n - 10 * (n % 2) for n in MANY[:seeds]][::-1]),
        ]

    rows, _ = look_until_decided(looks, rows_of)
    early, _ = look_until_decided(looks[:1], rows_of)
    assert rows[1].versus and early[1].versus
    assert rows[1].versus.different == early[1].versus.different
