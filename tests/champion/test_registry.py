"""Champions on disk: whole at every moment, with a history, and a way back."""

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
from tasks.runtime.errors import PipelineError

from .conftest import facts

Promote = Callable[..., str]


def in_use(champions: Champions) -> str | None:
    champion = champions.find().champion
    return champion.id if champion else None


def damage(champions: Champions, name: str) -> None:
    path = champions.folder / name / "model.keras"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_new_root_has_no_champion(champions: Champions) -> None:
    assert champions.find().champion is None
    assert champions.find().problems == ()
    assert history_lines(champions) == [f"no champion in {champions.folder} yet"]


def test_a_promoted_model_is_a_copy_with_its_record(
    champions: Champions, promote: Promote, store: Store
) -> None:
    name = promote("first")
    shutil.rmtree(store.root / "export")
    champion = champions.find().champion
    assert champion
    assert champion.id == name == f"0001-{champion.model.sha256[:12]}"
    assert store.path(champion.model).read_text() == "first" * 100
    assert (champions.folder / "current" / "model.keras").read_text() == "first" * 100
    assert (champion.by, champion.why, champion.replaced) == ("a test", "good", None)
    assert champion.facts.validation.correct == 98


def test_a_calibration_goes_with_its_champion(
    champions: Champions, model: Callable[[str], FileRef], promote: Promote
) -> None:
    calibration = model("calibration")
    first = champions.promote(
        model("a"), facts(), "a test", "good", expected_current=None, calibration=calibration
    )
    assert first.calibration
    assert first.calibration.path == f"champion/{first.id}/calibration.safetensors"
    assert champions.store.problem(first.calibration) is None
    promote("b")
    back = champions.rollback(None, "a test")
    assert back.calibration
    assert champions.store.problem(back.calibration) is None
    assert champions.read(back.id) == back

    champions.store.path(back.calibration).write_text("damaged")
    promote("c")
    again = champions.rollback(back.id, "a test")  # the model is of use without it
    assert again.short_digest == first.short_digest
    assert again.calibration is None


def test_the_history_lists_all_champions(champions: Champions, promote: Promote) -> None:
    first, second = promote("first"), promote("second", 99)
    assert champions.history() == [first, second]
    assert in_use(champions) == second
    lines = history_lines(champions)
    assert lines[0].startswith(f"  {first} ")
    assert lines[1].startswith(f"* {second} ")
    assert "validation 99.00%  test 98.00%  promoted by a test: good" in lines[1]


def test_a_rollback_goes_to_the_one_before_and_further(
    champions: Champions, promote: Promote
) -> None:
    first, second, third = promote("first"), promote("second"), promote("third")
    back = champions.rollback(None, by="me")
    assert back.short_digest == second.partition("-")[2]
    assert (back.number, back.action, back.by) == (4, "rolled back", "me")
    assert back.why == f"rolled back from {third} to {second}"
    assert champions.rollback(None, by="me").short_digest == first.partition("-")[2]
    with pytest.raises(PipelineError, match="there is no champion before 0005"):
        champions.rollback(None, by="me")
    assert len(champions.history()) == 5


@pytest.mark.parametrize("how", ["number", "id", "digits of the model"])
def test_a_rollback_to_a_certain_one(champions: Champions, promote: Promote, how: str) -> None:
    first, _, _ = promote("first"), promote("second"), promote("third")
    to = {"number": "1", "id": first, "digits of the model": first.partition("-")[2][:6]}[how]
    assert champions.rollback(to, by="me").short_digest == first.partition("-")[2]


def test_a_rollback_to_nothing_is_refused(champions: Champions, promote: Promote) -> None:
    current = promote("first")
    with pytest.raises(PipelineError, match="--to 7: no champions match; see"):
        champions.rollback("7", by="me")
    with pytest.raises(PipelineError, match="is the current model already"):
        champions.rollback("1", by="me")
    assert champions.history() == [current]


def test_a_rolled_back_model_is_withdrawn_until_a_rollback_to_it(
    champions: Champions, promote: Promote
) -> None:
    promote("first")
    second = promote("second").partition("-")[2]
    champions.rollback(None, by="me")
    assert champions.withdrawn() == {second}
    champions.rollback("2", by="me")
    assert champions.withdrawn() == {champions.history()[0].partition("-")[2]}


@pytest.mark.parametrize("what", ["model", "record", "model missing", "folder"])
def test_a_damaged_champion_is_replaced_by_the_one_before(
    champions: Champions, promote: Promote, what: str
) -> None:
    first, second = promote("first"), promote("second")
    folder = champions.folder / second
    if what == "model":
        damage(champions, second)
    elif what == "record":
        (folder / "record.json").write_text('{"id": ')
    elif what == "model missing":
        (folder / "model.keras").unlink()
    else:
        shutil.rmtree(folder)
    found = champions.find()
    assert found.champion
    assert found.champion.id == first
    (problem,) = found.problems
    assert problem.startswith(f"champion {second}: ")
    assert promote("third").startswith("0003-")
    assert in_use(champions) == champions.current_name()


def test_a_fallback_passes_over_what_was_withdrawn(champions: Champions, promote: Promote) -> None:
    first = promote("first")
    promote("second")
    current = champions.rollback(None, by="me").id
    damage(champions, current)
    assert in_use(champions) == first


@pytest.mark.parametrize(("source", "stands_in"), [("digits", True), ("clothes", False)])
def test_a_champion_of_another_task_does_not_stand_in(
    champions: Champions, model: Callable[[str], FileRef], source: str, stands_in: bool
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
    damage(champions, ids[1])
    assert in_use(champions) == (ids[0] if stands_in else None)
    assert len(champions.find().problems) == 1


def test_if_all_are_damaged_each_is_named(champions: Champions, promote: Promote) -> None:
    names = [promote("first"), promote("second")]
    for name in names:
        damage(champions, name)
    found = champions.find()
    assert found.champion is None
    assert [problem.split()[1].rstrip(":") for problem in found.problems] == names[::-1]


def test_the_best_is_counted_on_the_same_images(champions: Champions, promote: Promote) -> None:
    promote("first", 97)
    promote("second", 99, data="other")
    promote("third", 98)
    assert champions.best("a") == 98
    assert champions.best("other") == 99
    assert champions.best("new") == 0
    champions.rollback("1", by="me")
    assert champions.best("a") == 97, "what was withdrawn does not count"


def test_a_concurrent_promotion_wins(
    champions: Champions, promote: Promote, model: Callable[[str], FileRef]
) -> None:
    seen = champions.current_name()
    other = promote("other")
    with pytest.raises(PipelineError, match=f"{other} was promoted in the meantime"):
        champions.promote(model("late"), facts(), "me", "good", expected_current=seen)
    assert in_use(champions) == other


def test_a_changed_model_file_is_not_promoted(
    champions: Champions, promote: Promote, model: Callable[[str], FileRef], store: Store
) -> None:
    first = promote("first")
    second = model("second")
    store.path(second).write_text("x" * second.size)
    with pytest.raises(PipelineError, match="challenger damaged"):
        champions.promote(second, facts(), "me", "good", expected_current=first)
    assert in_use(champions) == first
    assert sorted(p.name for p in champions.folder.iterdir()) == [first, "current"]


def test_leftovers_of_a_killed_writer_are_removed(champions: Champions, promote: Promote) -> None:
    first = promote("first")
    (champions.folder / ".new").mkdir()
    shutil.copytree(champions.folder / first, champions.folder / "0002-0123456789ab")
    (champions.folder / ".current").symlink_to("0002-0123456789ab")
    assert champions.history() == [first], "what nothing points at is no history"
    second = promote("second")
    assert second.startswith("0003-")
    names = sorted(p.name for p in champions.folder.iterdir())
    assert names == [first, "0002-0123456789ab", second, "current"], "only .new is removed"


def test_a_pointer_set_back_by_hand_loses_no_later_champion(
    champions: Champions, promote: Promote
) -> None:
    first, second, third = promote("first"), promote("second"), promote("third")
    champions.pointer.unlink()
    champions.pointer.symlink_to(first)
    fourth = promote("fourth")
    assert champions.history() == [first, second, third, fourth]
    assert champions.read(third).id == third


@pytest.mark.parametrize("target", ["elsewhere", "../0001-0123456789ab", "/tmp"])
def test_a_pointer_to_something_else_is_refused(
    champions: Champions, promote: Promote, target: str
) -> None:
    promote("first")
    champions.pointer.unlink()
    champions.pointer.symlink_to(target)
    with pytest.raises(PipelineError, match="is no champion"):
        champions.find()


def test_a_real_folder_as_pointer_is_refused(champions: Champions, promote: Promote) -> None:
    """Copying with `cp -rL` or unpacking an archive turns the link into a folder."""
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


def test_a_registry_that_is_a_link_is_not_followed(
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
def test_an_entry_that_is_a_link_is_replaced_by_the_one_before(
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


def test_a_link_in_place_of_the_folder_being_written_is_not_followed(
    champions: Champions, promote: Promote, tmp_path: Path
) -> None:
    first = promote("first")
    (tmp_path / "precious").write_text("x")
    (champions.folder / ".new").symlink_to(tmp_path)
    with pytest.raises(PipelineError, match=r"\.new: a symbolic link, which is not followed"):
        promote("second")
    assert (tmp_path / "precious").read_text() == "x"
    assert in_use(champions) == first


def test_a_file_in_place_of_the_registry_is_one_line(champions: Champions) -> None:
    champions.folder.write_text("x")
    with pytest.raises(PipelineError, match=r"current: not a symbolic link .*Not a directory"):
        champions.find()


def test_without_its_pointer_nothing_is_lost(champions: Champions, promote: Promote) -> None:
    first, second = promote("first"), promote("second")
    champions.pointer.unlink()
    assert in_use(champions) is None
    assert champions.rollback("1", by="me").number == 3
    assert champions.history()[:2] == [first, second]


def test_pruning_the_cache_leaves_champions_alone(
    champions: Champions, promote: Promote, store: Store
) -> None:
    name = promote("first")
    record = store.records / f"champion-{'0' * 64}.json"
    record.write_text(
        '{"stage": "champion", "label": "champion", "key": "%s", "key_inputs": {}, "reason": "",'
        ' "seconds": 0, "output": {}}' % ("0" * 64)
    )
    housekeeping.prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)
    store.prepare()
    assert in_use(champions) == name


def test_a_reader_needs_no_permission_to_write(champions: Champions, promote: Promote) -> None:
    name = promote("first")
    before = {p: p.stat().st_mtime_ns for p in champions.folder.rglob("*")}
    locks = champions.store.root / "locks"
    shutil.rmtree(locks)
    assert in_use(champions) == name
    assert not locks.exists()
    assert {p: p.stat().st_mtime_ns for p in champions.folder.rglob("*")} == before


def test_a_full_disk_leaves_the_champion_as_it_is(tmp_path: Path) -> None:
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
