"""Tests of the challengers that were kept out, in a folder and at a URL."""

import re
from collections.abc import Callable

from tasks.champion.kept_out import history_of, read_kept_out, record_kept_out
from tasks.champion.registry import Champions

from .conftest import facts

Promote = Callable[..., str]


def test_history_lists_kept_out_challengers_last(champions: Champions, promote: Promote) -> None:
    first = promote("first")
    record_kept_out(champions, "b" * 64, facts(90), "a test", "worse", champion=first)
    record_kept_out(champions, "c" * 64, facts(91), "a test", "worse", champion=first)
    lines = history_of(champions)
    assert [line.split()[:2] for line in lines] == [
        ["*", first],
        ["-", "b" * 12],
        ["-", "c" * 12],
    ]
    assert re.fullmatch(
        r"- b{12}  \S+  validation 90.00%  test 89.00%  kept out by a test: worse", lines[1]
    )


def test_newer_decision_on_the_same_model_replaces_the_older(champions: Champions) -> None:
    for why in ("worse", "withdrawn"):
        record_kept_out(champions, "b" * 64, facts(90), "a test", why, champion=None)
    assert [kept.why for kept in read_kept_out(champions)] == ["withdrawn"]


def test_damaged_file_is_skipped(champions: Champions) -> None:
    record_kept_out(champions, "b" * 64, facts(90), "a test", "worse", champion=None)
    if champions.store.remote:
        champions.store.remote.write(f"{champions.path}/kept-out/{'b' * 12}.json", b"?")
    else:
        (champions.folder / "kept-out" / f"{'b' * 12}.json").write_bytes(b"?")
    assert read_kept_out(champions) == []
