"""Tests of the storage of champions at a URL: lost leases, network failures; and of names."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers.s3 import Wire

from tasks.champion import storage
from tasks.champion.kept_out import histories
from tasks.champion.registry import Champions, registry_names
from tasks.champion.storage import open_storage
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.remote import Remote, RemoteError
from tasks.engine.store import Store, open_store
from tasks.runtime.errors import PipelineError
from tasks.settings import RetrainSettings

from .conftest import AT_A_URL, EVERYWHERE, Files, facts

Promote = Callable[..., str]


@AT_A_URL
def test_one_of_many_promotions_without_a_lock_succeeds(
    champions: Champions, promote: Promote, store: Store
) -> None:
    """A process that stops for too long loses its lease; the conditional write decides then."""
    first = promote("first")
    registry = open_storage(store, champions.path)
    names = [f"0002-{digit * 12}" for digit in "abcdef"]
    won: list[str] = []

    def put(name: str) -> None:
        registry.add(name, {}, b"{}")
        ready.wait()
        try:
            registry.point_at(name, first)
        except PipelineError as error:
            assert "was promoted in the meantime; run it again" in str(error)
        else:
            won.append(name)

    ready = threading.Barrier(len(names))
    threads = [threading.Thread(target=put, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [champions.current_name()]
    assert champions.names() == [first, *won], "the others have left nothing"


@AT_A_URL
def test_first_promotion_does_not_replace_another_first_one(
    champions: Champions, promote: Promote, store: Store
) -> None:
    registry = open_storage(store, champions.path)
    registry.add("0001-aaaaaaaaaaaa", {}, b"{}")
    first = promote("first")
    with pytest.raises(PipelineError, match=f"{first} was promoted in the meantime"):
        registry.point_at("0001-aaaaaaaaaaaa", None)
    assert champions.names() == [first]


@AT_A_URL
def test_request_that_was_sent_twice_promotes_once(
    champions: Champions, promote: Promote, store: Store
) -> None:
    """If the answer to the first request was lost, the second one finds its own pointer."""
    first = promote("first")
    open_storage(store, champions.path).point_at(first, None)
    assert champions.current_name() == first
    assert champions.is_intact(first)


@AT_A_URL
def test_network_failure_is_not_reported_as_damage(
    champions: Champions, promote: Promote, s3: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)  # otherwise this takes half a minute
    promote("first")
    second = promote("second")
    s3.cut()
    try:
        with pytest.raises(RemoteError, match="cannot be used"):
            champions.read(second)
    finally:
        s3.mend()
    found = champions.find()
    assert found.champion
    assert (found.champion.id, found.problems) == (second, ())


@AT_A_URL
def test_model_without_a_record_is_no_champion(
    champions: Champions, promote: Promote, files: Files
) -> None:
    """A writer was killed while it uploaded."""
    first = promote("first")
    files.write("0002-aaaaaaaaaaaa/model.keras", b"half")
    assert champions.names() == [first]
    second = promote("second")
    assert champions.history() == [first, second]
    assert champions.find().problems == ()
    assert "0002-aaaaaaaaaaaa" in files.names(), "its writer may be at work"


@AT_A_URL
def test_model_without_a_record_is_removed_after_a_day(
    champions: Champions, promote: Promote, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = promote("first")
    files.write("0002-aaaaaaaaaaaa/model.keras", b"half")
    files.write("of-a-user/model.keras", b"whole")
    monkeypatch.setattr(storage, "LEFTOVER_SECONDS", -60)
    second = promote("second")
    assert set(files.names()) == {first, second, "current", "of-a-user"}


@AT_A_URL
def test_damaged_model_at_a_url_is_not_removed(
    champions: Champions, promote: Promote, files: Files, store: Store
) -> None:
    first = promote("first")
    files.damage(first)
    model = champions.read_record(first).model
    store.place(model).unlink(missing_ok=True)
    with pytest.raises(PipelineError, match=r"model\.keras is damaged"):
        store.path(model)
    assert files.read(f"{first}/model.keras").endswith(b"?")


@AT_A_URL
def test_server_that_ignores_conditions_is_refused(
    store: Store, model: Callable[[str], FileRef]
) -> None:
    assert store.remote
    careless = Store(store.root, Remote(f"{store.remote.url}/without-conditions"))
    assert careless.remote
    file = model("first")
    champions = Champions(careless)
    with pytest.raises(PipelineError, match="ignores the conditions If-Match and If-None-Match"):
        champions.promote(file, facts(), "me", "good", expected_current=None)
    assert champions.current_name() is None


def test_file_system_without_conditional_writes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    champions = Champions(open_store("memory://somewhere"))
    with pytest.raises(PipelineError, match="memory://somewhere: a champion needs a folder or s3:"):
        champions.find()


@dataclass(frozen=True)
class Behind(Champions):
    """A reader that reads the pointer just before it is replaced."""

    stale: list[str] = field(default_factory=list)

    def current_name(self) -> str | None:
        return self.stale.pop() if self.stale else super().current_name()


@EVERYWHERE
def test_reader_follows_a_pointer_that_moves_meanwhile(
    champions: Champions, promote: Promote, files: Files
) -> None:
    first, second = promote("first"), promote("second")
    files.remove(first)
    found = Behind(champions.store, stale=[first]).find()
    assert found.champion
    assert (found.champion.id, found.problems) == (second, ())


@EVERYWHERE
def test_every_file_of_a_record_is_copied_and_checked(
    champions: Champions, model: Callable[[str], FileRef], files: Files, store: Store
) -> None:
    place = store.root / "export" / "limits.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text("limits")
    limits = FileRef(path="export/limits.json", sha256=sha256(place), size=6)
    known = facts().model_copy(update={"settings": {"limits": limits.model_dump()}})
    first = champions.promote(model("first"), known, "me", "good", expected_current=None)
    second = champions.promote(model("second"), facts(), "me", "good", expected_current=first.id)
    third = champions.rollback("1", by="me")
    for champion in (first, third):
        assert files.read(f"{champion.id}/limits.json") == b"limits"
        path = f"champion/{champion.id}/limits.json"
        assert champion.facts.settings["limits"]["path"] == path
    files.write(f"{third.id}/limits.json", b"LIMITS")
    found = champions.find()
    assert found.problems == (f"champion {third.id}: model damaged: limits.json",)
    assert found.champion == first
    assert second.short_digest in champions.withdrawn()


@EVERYWHERE
def test_registries_of_several_names_are_independent(store: Store, promote: Promote) -> None:
    digits = promote("first")
    clothes = Champions(store, "clothes")
    assert clothes.find().champion is None
    record = Champions(store).read(digits)
    other = clothes.promote(record.model, facts(97), "me", "good", expected_current=None)
    assert other.model.path == f"champions/clothes/{digits}/model.keras"
    assert clothes.find().champion == other
    assert Champions(store).find().champion == record
    assert registry_names(store) == ["default", "clothes"]
    lines = histories(store)
    assert [lines[0], lines[2]] == ["champion default:", "champion clothes:"]
    assert lines[3].startswith(f"* {digits} ")
    with pytest.raises(PipelineError, match=r"history --champion clothes`"):
        clothes.rollback("7", by="me")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "-a", "a b", "a\n", "ä", "a" * 65])
def test_champion_name_must_be_a_plain_folder_name(name: str) -> None:
    with pytest.raises(ValueError, match="champion"):
        RetrainSettings(champion=name)
