"""Tests of conditional writes, in a folder and on S3, and of network failures."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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
    tries = [(b"2", b"1"), (b"1", None), (b"2", None), (b"2", b"0"), (b"2", b"1")]
    with writing(store, "champion"):
        done = [replace(store, "champion/a", content, before) for content, before in tries]
    assert done == [False, True, False, False, True]
    assert store.read("champion/a") == b"2"


@EVERYWHERE
def test_one_of_many_promotions_at_the_same_moment_succeeds(
    store: Store, promote: Promote, make: Make, calibration: Calibration
) -> None:
    first = promote("first")
    models = [make(f"export/{number}/model.keras") for number in range(6)]
    ready = Barrier(len(models))

    def promote_one(model: FileRef) -> str | None:
        ready.wait()
        try:
            return Champions(store).promote(model, calibration, facts(), "me", "good", first).id
        except PipelineError as error:
            assert "another decision in the meantime" in str(error)
            return None

    with ThreadPoolExecutor(len(models)) as pool:
        won = [id for id in pool.map(promote_one, models) if id]
    assert len(won) == 1
    assert [first, *won] == [entry.id for entry in Champions(store).history()]
    assert Champions(store).current()


@AT_A_URL
def test_request_that_was_sent_twice_promotes_once(
    champions: Champions, promote: Promote, monkeypatch: pytest.MonkeyPatch
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
    promote("first")
    s3.cut()
    try:
        with pytest.raises(RemoteError, match="cannot be used"):
            champions.current()
    finally:
        s3.mend()
    assert champions.current()


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
