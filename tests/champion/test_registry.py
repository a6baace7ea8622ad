"""Tests of the registry of champions: atomic updates, history, rollback, loss of the history."""

import os
import shutil
from pathlib import Path

import pytest
from helpers.commands import small_disk

from tasks.champion.registry import Champions, best_on, history_lines, registry_names, withdrawn
from tasks.engine import prune as housekeeping
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import Calibration
from tasks.runtime.errors import PipelineError
from tasks.scoring.model import choose_model
from tasks.settings import RetrainSettings

from .conftest import EVERYWHERE, Make, Promote, facts, put, remove, split

HISTORY = "champion/history.jsonl"


def in_use(champions: Champions) -> str | None:
    champion = champions.current()
    return champion.id if champion else None


def digest_of(id: str) -> str:
    return id.partition("-")[2]


@EVERYWHERE
def test_promoted_model_is_a_copy_with_its_calibration(
    champions: Champions, promote: Promote, store: Store
) -> None:
    assert champions.current() is None
    assert history_lines(store) == [f"no champion in {champions.address} yet"]
    name = promote("first")
    shutil.rmtree(store.root / "export")
    champion = champions.current()
    assert champion
    assert champion.id == name == f"0001-{champion.model.sha256[:12]}"
    assert store.read(f"champion/{name}/model.keras") == b"export/first/model.keras" * 10
    assert store.read(f"champion/{name}/model.onnx") == b"c/model.onnx" * 10
    assert champion.calibration.path == f"champion/{name}/calibration.safetensors"
    assert (champion.by, champion.why, champion.action) == ("a test", "good", "promoted")
    assert champion.facts == facts()


@EVERYWHERE
def test_history_lists_champions_and_kept_out_challengers_in_order(
    champions: Champions, promote: Promote, make: Make
) -> None:
    with pytest.raises(PipelineError, match=r"yet; train one with `python flows/retrain\.py`"):
        choose_model(champions, latest=False)
    with pytest.raises(PipelineError, match="rollback: no champion in "):
        champions.rollback(None, by="me")
    champions.keep_out(make("zero"), facts(90), "me", "below the floor", None)
    with pytest.raises(PipelineError, match="; the last challenger was kept out: below the floor"):
        choose_model(champions, latest=False)
    first = promote("first")
    champions.keep_out(make("bad"), facts(90), "me", "worse", first)
    last = promote("second", 99)
    assert in_use(champions) == last
    lines = history_lines(champions.store)
    assert [line[:7] for line in lines] == ["- 0001-", "  0002-", "- 0003-", "* 0004-"]
    assert "validation 90.00\N{NO-BREAK SPACE}%" in lines[2]
    assert lines[2].endswith("kept out by me: worse")
    assert lines[3].endswith("promoted by a test: good")


@EVERYWHERE
def test_rollbacks_go_back_one_champion_at_a_time(champions: Champions, promote: Promote) -> None:
    first, second, third = promote("first"), promote("second"), promote("third")
    back = champions.rollback(None, by="me")
    assert back.id == f"0004-{digest_of(second)}"
    assert (back.action, back.by) == ("rolled back", "me")
    assert back.why == f"rolled back from {third} to {second}"
    assert back.model.path == f"champion/{second}/model.keras"
    assert champions.rollback(None, by="me").short_digest == digest_of(first)
    with pytest.raises(PipelineError, match="there is no champion before 0005"):
        champions.rollback(None, by="me")
    assert withdrawn(champions.champions()) == {digest_of(second), digest_of(third)}
    champions.rollback("2", by="me")
    assert withdrawn(champions.champions()) == {digest_of(first), digest_of(third)}
    assert promote("fourth").startswith("0007-")


def test_rollback_to_a_given_champion(champions: Champions, promote: Promote) -> None:
    first, _, current = promote("first"), promote("second"), promote("third")
    for wrong, message in (("7", "no champions match"), ("3", f"the model in use .*{current}")):
        with pytest.raises(PipelineError, match=message):
            champions.rollback(wrong, by="me")
    for to in ("1", first, digest_of(first)[:6]):
        assert champions.rollback(to, by="me").short_digest == digest_of(first)
        champions.rollback("3", by="me")


@EVERYWHERE
@pytest.mark.parametrize("name", ["model.keras", "model.onnx"])
@pytest.mark.parametrize("problem", ["damaged", "missing"])
def test_damaged_champion_is_one_line_that_names_the_file_and_a_rollback(
    champions: Champions, promote: Promote, name: str, problem: str, store: Store
) -> None:
    first, second = promote("first"), promote("second")
    path = f"champion/{second}/{name}"
    if problem == "damaged":
        put(store, path, store.read(path)[:-1] + b"?")
    else:
        remove(store, path)
    line = rf"^champion {second}: model {problem}: {name}; .*`python flows/retrain.py rollback`$"
    with pytest.raises(PipelineError, match=line):
        champions.current()
    assert history_lines(store)[-1].endswith(f"(model {problem}: {name})")
    with pytest.raises(PipelineError, match="is the model in use already"):
        champions.rollback(second, by="me")
    assert champions.rollback(None, by="me").short_digest == digest_of(first)
    assert in_use(champions)
    with pytest.raises(PipelineError, match=f"champion {second}: model {problem}: "):
        champions.rollback(second, by="me")


@EVERYWHERE
def test_lost_history_stops_everything_until_a_rollback_names_a_champion(
    champions: Champions, promote: Promote, store: Store, make: Make
) -> None:
    first = promote("first")
    champions.keep_out(make("bad"), facts(90), "me", "worse", first)
    second = promote("second")
    third = champions.rollback(first, by="me").id
    remove(store, HISTORY)
    line = f"is missing or empty, .*`python flows/retrain.py rollback --to {second}`"
    for command in (
        champions.current,
        champions.history,
        lambda: champions.rollback(None, by="me"),
        lambda: champions.keep_out(make("new"), facts(), "me", "worse", third),
        lambda: promote("third"),
        lambda: choose_model(champions, latest=False),
    ):
        with pytest.raises(PipelineError, match=line):
            command()
    with pytest.raises(PipelineError, match=f"no champions match; there are {first}, {second}"):
        champions.rollback("7", by="me")
    assert champions.rollback(second[:4], by="me").id == second
    assert [entry.id[:4] for entry in champions.history()] == ["0001", "0002", "0003"]
    assert in_use(champions) == second
    put(store, HISTORY, b"")
    with pytest.raises(PipelineError, match="missing or empty"):
        champions.current()
    assert champions.rollback("1", by="me").id == first
    assert in_use(champions) == first
    assert promote("fourth").startswith("0002-")


@pytest.mark.parametrize("content", [b'{"id": ', b'{"id": "0001-aaaaaaaaaaaa"}\n', b"\xff\n"])
def test_damaged_history_is_one_line(
    champions: Champions, promote: Promote, store: Store, content: bytes
) -> None:
    promote("first")
    put(store, HISTORY, store.read(HISTORY) + content)
    with pytest.raises(PipelineError, match=r"history\.jsonl: damaged, .*rollback --to ID`$"):
        champions.history()


def test_registry_of_another_version_is_refused(champions: Champions, store: Store) -> None:
    put(store, "champion/0001-aaaaaaaaaaaa/record.json", b'{"id": "0001-aaaaaaaaaaaa"}')
    with pytest.raises(PipelineError, match=r"history\.jsonl is missing or empty"):
        champions.current()
    with pytest.raises(PipelineError, match="0001-aaaaaaaaaaaa: no champion of this version"):
        champions.rollback("1", by="me")


@EVERYWHERE
def test_folder_of_a_killed_writer_is_no_champion(
    champions: Champions, promote: Promote, store: Store, make: Make
) -> None:
    champions.keep_out(make("bad"), facts(90), "me", "worse", None)
    put(store, "champion/0002-aaaaaaaaaaaa/model.keras", b"half")
    assert champions.current() is None
    first = promote("first")
    same = make("export/second/model.keras").sha256[:12]
    put(store, f"champion/0003-{same}/model.keras", b"half")
    second = promote("second")
    assert [entry.id for entry in champions.champions()] == [first, second]
    assert in_use(champions) == second


def test_best_champion_is_chosen_among_those_with_the_same_validation_images(
    champions: Champions, promote: Promote
) -> None:
    promote("first", 97)
    promote("second", 99, validation=split("other"))
    promote("third", 98)
    entries = champions.champions()
    data = [split(name).file.sha256 for name in ("validation", "other", "new")]
    assert [best_on(digest, entries) for digest in data] == [98, 99, 0]
    champions.rollback("1", by="me")
    assert best_on(data[0], champions.champions()) == 97, "withdrawn ones do not count"


@EVERYWHERE
def test_decision_that_came_second_is_refused(
    champions: Champions, promote: Promote, make: Make, calibration: Calibration
) -> None:
    first = promote("first")
    other = promote("other")
    error = pytest.raises(PipelineError, match=f"another decision .*{other}.*; run it again")
    with error:
        champions.promote(make("late"), calibration, facts(), "me", "good", first)
    with error:
        champions.keep_out(make("late"), facts(), "me", "worse", first)
    assert [entry.id for entry in champions.history()] == [first, other]


def test_changed_model_file_is_not_promoted(
    champions: Champions, promote: Promote, make: Make, store: Store, calibration: Calibration
) -> None:
    first = promote("first")
    second = make("export/second/model.keras")
    store.path(second).write_text("x" * second.size)
    with pytest.raises(PipelineError, match="challenger damaged"):
        champions.promote(second, calibration, facts(), "me", "good", first)
    assert in_use(champions) == first


@pytest.mark.parametrize("what", ["champion", "history.jsonl", "folder", "model.keras"])
def test_links_are_not_followed(
    champions: Champions, promote: Promote, tmp_path: Path, what: str
) -> None:
    first = promote("first")
    registry, outside = champions.store.root / "champion", tmp_path / "outside"
    places = {"champion": registry, "folder": registry / first}
    path = (places | {"model.keras": registry / first / what}).get(what, registry / what)
    path.rename(outside)
    path.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(PipelineError, match="a symbolic link"):
        champions.current()
    if what in ("champion", "history.jsonl"):
        with pytest.raises(PipelineError, match="a symbolic link"):
            promote("second")
    assert sorted(outside.rglob("*")) == before
    registry.rename(tmp_path / "another") if what != "champion" else path.unlink()
    registry.write_text("a file")
    with pytest.raises(PipelineError, match=r"history\.jsonl: not a directory; restore it"):
        champions.current()


@EVERYWHERE
def test_registries_of_several_names_are_independent(
    store: Store, promote: Promote, calibration: Calibration
) -> None:
    digits = promote("first")
    clothes = Champions(store, "clothes")
    assert clothes.current() is None
    model = Champions(store).champions()[0].model
    other = clothes.promote(model, calibration, facts(97), "me", "good", None)
    assert other.model.path == f"champions/clothes/{digits}/model.keras"
    assert in_use(clothes) == in_use(Champions(store)) == digits
    assert registry_names(store) == ["default", "clothes"]
    lines = history_lines(store)
    assert [lines[0], lines[2]] == ["champion default:", "champion clothes:"]
    assert history_lines(store, "clothes") == lines[3:]
    with pytest.raises(PipelineError, match=r"history --champion clothes`"):
        clothes.rollback(None, by="me")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "a\n", "ä", "a" * 65])
def test_champion_name_must_be_a_plain_folder_name(name: str) -> None:
    with pytest.raises(ValueError, match="champion"):
        RetrainSettings(champion=name)


def test_reading_writes_nothing_and_prune_removes_nothing(
    champions: Champions, promote: Promote, store: Store
) -> None:
    name = promote("first")
    registry, locks = store.root / "champion", store.root / "locks"
    before = {p: p.stat().st_mtime_ns for p in registry.rglob("*")}
    housekeeping.prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)
    shutil.rmtree(locks)
    assert in_use(champions) == name
    assert not locks.exists()
    assert {p: p.stat().st_mtime_ns for p in registry.rglob("*")} == before


def test_full_disk_leaves_the_champion_unchanged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        store = Store(disk / "artifacts")
        store.prepare()
        champions = Champions(store)

        def output(name: str, size: int) -> FileRef:
            path = store.root / name
            path.write_bytes(os.urandom(size))
            return FileRef(path=name, sha256=sha256(path), size=size)

        calibration = Calibration(file=output("c.safetensors", 9), onnx=output("m.onnx", 9))
        model = output("model.keras", 60_000)
        first = champions.promote(model, calibration, facts(), "me", "good", None).id
        model = output("model.keras", 60_000)
        with pytest.raises(PipelineError, match=r"champion: cannot write to .*no space left"):
            champions.promote(model, calibration, facts(), "me", "good", first)
        assert in_use(champions) == first
        assert len(champions.history()) == 1
