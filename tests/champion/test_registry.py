"""Tests of the registry of champions: atomic updates, history, rollback."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.commands import small_disk

from tasks.champion.registry import Champions, history_lines
from tasks.engine import prune as housekeeping
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import Calibration
from tasks.runtime.errors import PipelineError

from .conftest import EVERYWHERE, Files, facts

Promote = Callable[..., str]


def in_use(champions: Champions) -> str | None:
    champion = champions.find().champion
    return champion.id if champion else None


@EVERYWHERE
def test_new_root_has_no_champion(champions: Champions) -> None:
    assert champions.find().champion is None
    assert champions.find().problems == ()
    assert history_lines(champions) == [f"no champion in {champions.address} yet"]


@EVERYWHERE
def test_promoted_model_is_a_copy_with_its_record(
    champions: Champions, promote: Promote, store: Store, files: Files
) -> None:
    name = promote("first")
    shutil.rmtree(store.root / "export")
    champion = champions.find().champion
    assert champion
    assert champion.id == name == f"0001-{champion.model.sha256[:12]}"
    assert store.path(champion.model).read_text() == "first" * 100
    assert files.read(f"{name}/model.keras").decode() == "first" * 100
    assert (champion.by, champion.why, champion.replaced) == ("a test", "good", None)
    assert champion.facts.validation.correct == 98


@EVERYWHERE
def test_calibration_is_copied_with_its_champion(
    champions: Champions, model: Callable[[str], FileRef], promote: Promote
) -> None:
    files = []
    for name in ("calibration.safetensors", "model.onnx"):
        path = champions.store.root / name
        path.write_text(f"content of {name}")
        files.append(FileRef(path=name, sha256=sha256(path), size=path.stat().st_size))
    calibration = Calibration(file=files[0], onnx=files[1])
    first = champions.promote(model("a"), facts(), "a test", "good", None, calibration=calibration)
    promote("b")
    back = champions.rollback(None, "a test")
    for champion in (first, back):
        for copy, file in zip((champion.calibration, champion.onnx), files, strict=True):
            assert copy
            assert copy.path == f"champion/{champion.id}/{file.name}"
            assert copy.sha256 == file.sha256
        assert champions.problem(champion) is None


@EVERYWHERE
def test_damaged_onnx_is_a_damaged_champion(
    champions: Champions, model: Callable[[str], FileRef], promote: Promote, files: Files
) -> None:
    first = promote("a")
    path = champions.store.root / "model.onnx"
    path.write_text("good")
    onnx = FileRef(path=path.name, sha256=sha256(path), size=path.stat().st_size)
    calibration = Calibration(file=onnx, onnx=onnx)
    second = champions.promote(
        model("b"), facts(), "a test", "good", first, calibration=calibration
    ).id
    files.write(f"{second}/model.onnx", b"evil")
    found = champions.find()
    assert found.champion
    assert found.champion.id == first
    assert found.problems == (f"champion {second}: model damaged: model.onnx",)


@EVERYWHERE
def test_history_lists_all_champions(champions: Champions, promote: Promote) -> None:
    first, second = promote("first"), promote("second", 99)
    assert champions.history() == [first, second]
    assert in_use(champions) == second
    lines = history_lines(champions)
    assert lines[0].startswith(f"  {first} ")
    assert lines[1].startswith(f"* {second} ")
    assert "validation 99.00\xa0%  test 98.00\xa0%  promoted by a test: good" in lines[1]


@EVERYWHERE
def test_rollbacks_go_back_one_champion_at_a_time(champions: Champions, promote: Promote) -> None:
    first, second, third = promote("first"), promote("second"), promote("third")
    back = champions.rollback(None, by="me")
    assert back.short_digest == second.partition("-")[2]
    assert (back.number, back.action, back.by) == (4, "rolled back", "me")
    assert back.why == f"rolled back from {third} to {second}"
    assert champions.rollback(None, by="me").short_digest == first.partition("-")[2]
    with pytest.raises(PipelineError, match="there is no champion before 0005"):
        champions.rollback(None, by="me")
    assert len(champions.history()) == 5


@EVERYWHERE
@pytest.mark.parametrize("how", ["number", "id", "digits of the model"])
def test_rollback_to_a_given_champion(champions: Champions, promote: Promote, how: str) -> None:
    first, _, _ = promote("first"), promote("second"), promote("third")
    to = {"number": "1", "id": first, "digits of the model": first.partition("-")[2][:6]}[how]
    assert champions.rollback(to, by="me").short_digest == first.partition("-")[2]


@EVERYWHERE
def test_rollback_without_an_earlier_champion_is_refused(
    champions: Champions, promote: Promote
) -> None:
    current = promote("first")
    with pytest.raises(PipelineError, match="--to 7: no champions match; see"):
        champions.rollback("7", by="me")
    with pytest.raises(PipelineError, match="is the current model already"):
        champions.rollback("1", by="me")
    assert champions.history() == [current]


@EVERYWHERE
def test_rolled_back_champion_is_withdrawn_until_a_rollback_to_it(
    champions: Champions, promote: Promote
) -> None:
    promote("first")
    second = promote("second").partition("-")[2]
    champions.rollback(None, by="me")
    assert champions.withdrawn() == {second}
    champions.rollback("2", by="me")
    assert champions.withdrawn() == {champions.history()[0].partition("-")[2]}


@EVERYWHERE
@pytest.mark.parametrize("what", ["model", "record", "model missing", "folder"])
def test_damaged_champion_is_replaced_by_the_previous_one(
    champions: Champions, promote: Promote, what: str, files: Files
) -> None:
    first, second = promote("first"), promote("second")
    if what == "model":
        files.damage(second)
    elif what == "record":
        files.write(f"{second}/record.json", b'{"id": ')
    elif what == "model missing":
        files.remove(f"{second}/model.keras")
    else:
        files.remove(second)
    found = champions.find()
    assert found.champion
    assert found.champion.id == first
    (problem,) = found.problems
    assert problem.startswith(f"champion {second}: ")
    assert promote("third").startswith("0003-")
    assert in_use(champions) == champions.current_name()


@EVERYWHERE
def test_fallback_skips_withdrawn_champions(
    champions: Champions, promote: Promote, files: Files
) -> None:
    first = promote("first")
    promote("second")
    current = champions.rollback(None, by="me").id
    files.damage(current)
    assert in_use(champions) == first


@EVERYWHERE
@pytest.mark.parametrize(("source", "stands_in"), [("digits", True), ("clothes", False)])
def test_fallback_skips_champions_of_another_task(
    champions: Champions,
    model: Callable[[str], FileRef],
    source: str,
    stands_in: bool,
    files: Files,
) -> None:
    ids = []
    for content, name in (("first", "digits"), ("second", source)):
        known = facts()
        test = known.test.model_copy(update={"data": content})
        known = known.model_copy(update={"source": name, "test": test})
        current = champions.current_name()
        ids.append(
            champions.promote(model(content), known, "me", "good", expected_current=current).id
        )
    files.damage(ids[1])
    assert in_use(champions) == (ids[0] if stands_in else None)
    assert len(champions.find().problems) == 1


@EVERYWHERE
def test_error_names_every_damaged_champion(
    champions: Champions, promote: Promote, files: Files
) -> None:
    names = [promote("first"), promote("second")]
    for name in names:
        files.damage(name)
    found = champions.find()
    assert found.champion is None
    assert [problem.split()[1].rstrip(":") for problem in found.problems] == names[::-1]


@EVERYWHERE
def test_best_champion_is_chosen_among_those_with_the_same_test_images(
    champions: Champions, promote: Promote
) -> None:
    promote("first", 97)
    promote("second", 99, data="other")
    promote("third", 98)
    assert champions.best("a") == 98
    assert champions.best("other") == 99
    assert champions.best("new") == 0
    champions.rollback("1", by="me")
    assert champions.best("a") == 97, "withdrawn champions do not count"


@EVERYWHERE
def test_promotion_is_refused_after_a_concurrent_promotion(
    champions: Champions, promote: Promote, model: Callable[[str], FileRef]
) -> None:
    seen = champions.current_name()
    other = promote("other")
    with pytest.raises(PipelineError, match=f"{other} was promoted in the meantime"):
        champions.promote(model("late"), facts(), "me", "good", expected_current=seen)
    assert in_use(champions) == other


def test_changed_model_file_is_not_promoted(
    champions: Champions, promote: Promote, model: Callable[[str], FileRef], store: Store
) -> None:
    first = promote("first")
    second = model("second")
    store.path(second).write_text("x" * second.size)
    with pytest.raises(PipelineError, match="challenger damaged"):
        champions.promote(second, facts(), "me", "good", expected_current=first)
    assert in_use(champions) == first
    assert sorted(p.name for p in champions.folder.iterdir()) == [first, "current"]


def test_temporary_files_of_a_killed_writer_are_removed(
    champions: Champions, promote: Promote
) -> None:
    first = promote("first")
    (champions.folder / ".new").mkdir()
    shutil.copytree(champions.folder / first, champions.folder / "0002-0123456789ab")
    (champions.folder / ".current").symlink_to("0002-0123456789ab")
    assert champions.history() == [first], "without a pointer there is no history"
    second = promote("second")
    assert second.startswith("0003-")
    names = sorted(p.name for p in champions.folder.iterdir())
    assert names == [first, "0002-0123456789ab", second, "current"], "only .new is removed"


@EVERYWHERE
def test_pointer_set_back_by_hand_keeps_later_champions(
    champions: Champions, promote: Promote, files: Files
) -> None:
    first, second, third = promote("first"), promote("second"), promote("third")
    files.point_at(first)
    fourth = promote("fourth")
    assert champions.history() == [first, second, third, fourth]
    assert champions.read(third).id == third


@EVERYWHERE
@pytest.mark.parametrize("target", ["elsewhere", "../0001-0123456789ab", "/tmp"])
def test_pointer_to_something_else_is_refused(
    champions: Champions, promote: Promote, target: str, files: Files
) -> None:
    promote("first")
    files.point_at(target)
    with pytest.raises(PipelineError, match="is no champion"):
        champions.find()


def test_folder_in_place_of_the_pointer_is_refused(champions: Champions, promote: Promote) -> None:
    """`cp -rL` and unpacked archives turn the link into a folder."""
    first = promote("first")
    champions.pointer.unlink()
    shutil.copytree(champions.folder / first, champions.pointer)
    for command in (
        champions.find,
        champions.history,
        lambda: history_lines(champions),
        lambda: champions.rollback("1", by="me"),
        lambda: promote("second"),
    ):
        with pytest.raises(PipelineError, match="current: not a symbolic link to a champion"):
            command()
    assert (champions.pointer / "model.keras").is_file()
    shutil.rmtree(champions.pointer)
    assert champions.rollback("1", by="me").number == 2, "the advice of the message works"


def test_link_in_place_of_the_registry_is_refused(
    champions: Champions, promote: Promote, tmp_path: Path
) -> None:
    promote("first")
    outside = tmp_path / "outside"
    champions.folder.rename(outside)
    (champions.store.root / "champion").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    for command in (champions.find, champions.history, lambda: promote("second")):
        with pytest.raises(PipelineError, match="champion: a symbolic link, which is not follow"):
            command()
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("what", ["folder", "record.json", "model.keras"])
def test_link_in_place_of_an_entry_is_replaced_by_the_previous_champion(
    champions: Champions, promote: Promote, tmp_path: Path, what: str
) -> None:
    first, second = promote("first"), promote("second")
    path = champions.folder / second
    path = path if what == "folder" else path / what
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    found = champions.find()
    assert found.champion
    assert found.champion.id == first
    (problem,) = found.problems
    assert problem.startswith(f"champion {second}: ")
    assert "a symbolic link" in problem
    assert "\n" not in problem
    assert outside.exists()


def test_link_in_place_of_the_temporary_folder_is_not_followed(
    champions: Champions, promote: Promote, tmp_path: Path
) -> None:
    first = promote("first")
    (tmp_path / "precious").write_text("x")
    (champions.folder / ".new").symlink_to(tmp_path)
    with pytest.raises(PipelineError, match=r"\.new: a symbolic link, which is not followed"):
        promote("second")
    assert (tmp_path / "precious").read_text() == "x"
    assert in_use(champions) == first


def test_file_in_place_of_the_registry_is_refused_in_one_line(champions: Champions) -> None:
    champions.folder.write_text("x")
    with pytest.raises(PipelineError, match=r"current: not a symbolic link .*Not a directory"):
        champions.find()


@EVERYWHERE
def test_history_survives_the_loss_of_the_pointer(
    champions: Champions, promote: Promote, files: Files
) -> None:
    first, second = promote("first"), promote("second")
    files.remove("current")
    assert in_use(champions) is None
    assert champions.rollback("1", by="me").number == 3
    assert champions.history()[:2] == [first, second]


def test_prune_keeps_champions(champions: Champions, promote: Promote, store: Store) -> None:
    name = promote("first")
    record = store.records / f"champion-{'0' * 64}.json"
    record.write_text(
        '{"stage": "champion", "label": "champion", "key": "%s", "key_inputs": {}, "reason": "",'
        ' "seconds": 0, "output": {}}' % ("0" * 64)
    )
    housekeeping.prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)
    store.prepare()
    assert in_use(champions) == name


def test_reading_needs_no_write_permission(champions: Champions, promote: Promote) -> None:
    name = promote("first")
    before = {p: p.stat().st_mtime_ns for p in champions.folder.rglob("*")}
    locks = champions.store.root / "locks"
    shutil.rmtree(locks)
    assert in_use(champions) == name
    assert not locks.exists()
    assert {p: p.stat().st_mtime_ns for p in champions.folder.rglob("*")} == before


def test_full_disk_leaves_the_champion_unchanged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "160k") as disk:
        store = Store(disk / "artifacts")
        store.prepare()
        champions = Champions(store)
        path = store.root / "model.keras"
        path.write_bytes(b"1" * 60_000)
        small = FileRef(path="model.keras", sha256=sha256(path), size=60_000)
        first = champions.promote(small, facts(), "me", "good", expected_current=None).id
        with pytest.raises(PipelineError, match=r"champion: cannot write to .*no space left"):
            path.write_bytes(b"2" * 60_000)
            large = FileRef(path="model.keras", sha256=sha256(path), size=60_000)
            champions.promote(large, facts(), "me", "good", expected_current=first)
        assert in_use(champions) == first
        assert sorted(p.name for p in champions.folder.iterdir()) == [first, "current"]
