"""Tests of saved progress for resume, and of deferred signals."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tasks.model.resume import (
    Progress,
    Report,
    load_progress,
    postponed_signals,
    save_progress,
)


def some_progress(iteration: int = 7) -> Progress:
    state = {"iteration": np.array(iteration, np.int64), "weights/fc1/bias": np.ones(3, np.float32)}
    return Progress(
        state, [Report(1, 0.125, 2.3), Report(101, 0.5, 1.1)], seconds=1.5, cpu_seconds=2.5
    )


def test_saved_progress_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    assert load_progress(folder) is None
    saved = some_progress()
    save_progress(saved, folder)
    loaded = load_progress(folder)
    assert loaded is not None
    assert loaded.reports == saved.reports
    assert (loaded.seconds, loaded.cpu_seconds) == (saved.seconds, saved.cpu_seconds)
    assert loaded.state.keys() == saved.state.keys()
    assert loaded.state["iteration"] == 7
    assert loaded.state["iteration"].shape == ()


def test_only_the_last_progress_is_kept(tmp_path: Path) -> None:
    save_progress(some_progress(7), tmp_path)
    save_progress(some_progress(8), tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    loaded = load_progress(tmp_path)
    assert loaded is not None
    assert loaded.state["iteration"] == 8


@pytest.mark.parametrize("damage", ["bit", "truncated", "empty", "never finished"])
def test_incomplete_progress_is_ignored(tmp_path: Path, damage: str) -> None:
    save_progress(some_progress(), tmp_path)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.rename(path.with_suffix(".tmp"))
    assert load_progress(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_deferred_to_the_end_of_the_block(number: signal.Signals) -> None:
    class ArrivedError(Exception):
        pass

    def arrive(*_: object) -> None:
        raise ArrivedError

    before = signal.signal(number, arrive)
    done = False
    try:
        with pytest.raises(ArrivedError), postponed_signals():
            os.kill(os.getpid(), number)
            done = True
        assert done
        assert signal.getsignal(number) is arrive
    finally:
        signal.signal(number, before)
