"""Tests of registries on S3: conditional writes, network failures."""

import threading

import pytest
from helpers.s3 import Wire

from tasks.champion.registry import Champions
from tasks.champion.storage import replace, writing
from tasks.engine.models import FileRef
from tasks.engine.remote import Remote, RemoteError
from tasks.engine.store import Store
from tasks.records import Calibration
from tasks.runtime.errors import PipelineError

from .conftest import AT_A_URL, EVERYWHERE, Make, Promote, facts, put


@EVERYWHERE
def test_file_is_replaced_only_if_its_content_is_as_expected(store: Store) -> None:
    def write(content: bytes, expected: bytes | None) -> bool:
        return replace(store, "champion/a", content, expected)

    with writing(store, "champion"):
        assert not write(b"2", b"1")
        assert write(b"1", None)
        assert not write(b"2", None)
        assert not write(b"2", b"0")
        assert write(b"2", b"1")
    assert store.read("champion/a") == b"2"


@EVERYWHERE
def test_one_of_many_promotions_at_the_same_moment_succeeds(
    store: Store, promote: Promote, make: Make, calibration: Calibration
) -> None:
    first = promote("first")
    models = [make(f"export/{number}/model.keras") for number in range(6)]
    won: list[str] = []

    def promote_one(model: FileRef) -> None:
        ready.wait()
        try:
            champion = Champions(store).promote(model, calibration, facts(), "me", "good", first)
        except PipelineError as error:
            assert "another decision in the meantime" in str(error)
        else:
            won.append(champion.id)

    ready = threading.Barrier(len(models))
    threads = [threading.Thread(target=promote_one, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [first, *won] == [entry.id for entry in Champions(store).history()]
    assert len(won) == 1
    assert Champions(store).current()


@AT_A_URL
def test_request_that_was_sent_twice_promotes_once(
    champions: Champions, promote: Promote, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the answer to the first request was lost, the second one finds its own history."""
    promote("first")
    once = Remote.replace

    def twice(remote: Remote, name: str, content: bytes, expected: bytes | None) -> bool:
        once(remote, name, content, expected)
        return once(remote, name, content, expected)

    monkeypatch.setattr(Remote, "replace", twice)
    second = promote("second")
    assert [entry.id for entry in champions.history()][1:] == [second]


@AT_A_URL
def test_network_failure_is_not_reported_as_damage(
    champions: Champions, promote: Promote, s3: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)  # otherwise this takes half a minute
    first = promote("first")
    s3.cut()
    try:
        with pytest.raises(RemoteError, match="cannot be used"):
            champions.current()
    finally:
        s3.mend()
    champion = champions.current()
    assert champion
    assert champion.id == first


@AT_A_URL
def test_damaged_model_at_a_url_is_not_removed(
    champions: Champions, promote: Promote, store: Store
) -> None:
    promote("first")
    model = champions.champions()[0].model
    put(store, model.path, b"?")
    store.place(model).unlink(missing_ok=True)
    with pytest.raises(PipelineError, match=r"model\.keras is damaged"):
        store.path(model)
    assert store.read(model.path) == b"?"


@AT_A_URL
def test_server_that_ignores_conditions_is_refused(
    store: Store, make: Make, calibration: Calibration
) -> None:
    assert store.remote
    careless = Champions(Store(store.root, Remote(f"{store.remote.url}/without-conditions")))
    with pytest.raises(PipelineError, match="ignores the conditions If-Match and If-None-Match"):
        careless.promote(make("first"), calibration, facts(), "me", "good", None)
    assert careless.current() is None
