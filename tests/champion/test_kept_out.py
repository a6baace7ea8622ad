"""Tests of the challengers that were kept out, in a folder and at a URL."""

import re
from collections.abc import Callable

import pytest

from tasks.champion.kept_out import histories, history_of, read_kept_out, record_kept_out
from tasks.champion.registry import Champions
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError
from tasks.scoring.score import current_champion

from .conftest import EVERYWHERE, Files, facts

Promote = Callable[..., str]


@EVERYWHERE
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
        r"- b{12}  \S+  validation 90.00.%  test 89.00.%  kept out by a test: worse", lines[1]
    )


@EVERYWHERE
def test_newer_decision_on_the_same_model_replaces_the_older(champions: Champions) -> None:
    for why in ("worse", "withdrawn"):
        record_kept_out(champions, "b" * 64, facts(90), "a test", why, champion=None)
    assert [kept.why for kept in read_kept_out(champions)] == ["withdrawn"]


@EVERYWHERE
def test_damaged_file_is_skipped(champions: Champions) -> None:
    record_kept_out(champions, "b" * 64, facts(90), "a test", "worse", champion=None)
    if champions.store.remote:
        champions.store.remote.write(f"{champions.path}/kept-out/{'b' * 12}.json", b"?")
    else:
        (champions.folder / "kept-out" / f"{'b' * 12}.json").write_bytes(b"?")
    assert read_kept_out(champions) == []


@EVERYWHERE
def test_each_registry_lists_its_own_challengers(store: Store, promote: Promote) -> None:
    first = promote("first")
    clothes = Champions(store, "clothes")
    record_kept_out(clothes, "d" * 64, facts(90), "a test", "below the floor", champion=None)
    assert [kept.model for kept in read_kept_out(clothes)] == ["d" * 12]
    assert read_kept_out(Champions(store)) == []
    lines = histories(store)
    assert lines[0] == "champion default:"
    assert lines[1].startswith(f"* {first} ")
    assert lines[2:4] == ["champion clothes:", f"no champion in {clothes.address} yet"]
    assert lines[4].startswith(f"- {'d' * 12} ")
    assert len(lines) == 5


@EVERYWHERE
def test_scoring_without_a_champion_says_why_the_last_challenger_was_kept_out(
    champions: Champions,
) -> None:
    for model, why in (("b" * 64, "too bad"), ("c" * 64, "below the floor")):
        record_kept_out(champions, model, facts(90), "a test", why, champion=None)
    with pytest.raises(PipelineError, match=r"yet; the last challenger was kept out: below the f"):
        current_champion(champions)


@EVERYWHERE
def test_scoring_with_a_damaged_champion_alone_advises_to_train(
    champions: Champions, promote: Promote, files: Files
) -> None:
    first = promote("first")
    record_kept_out(champions, "b" * 64, facts(90), "a test", "worse", champion=first)
    files.damage(first)
    with pytest.raises(PipelineError, match=rf"^champion {first}: .*; train one with `python fl"):
        current_champion(champions)
