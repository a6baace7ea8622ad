"""The tutorial's exercises, answered by measurement of many settings.

python flows/study.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # This checkout's code, wherever the environment's own copy lies.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    try:
        # Options are read before Prefect is imported, which takes seconds.
        from flows.cli.study import study_main

        sys.exit(study_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.exit(130)  # Python 3.11 wraps Ctrl-C while it makes a class

import logging
import time
from collections.abc import Iterator, Sequence

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import as_completed

from flows.graph import prepare_data, train_and_score, variant_dependencies
from tasks.engine import LocalExecutor, LookupExecutor, NotCachedError, PrefectExecutor
from tasks.engine.stage import check_dependencies
from tasks.engine.store import open_store
from tasks.records import Shape
from tasks.runtime.console import log
from tasks.runtime.dask import dask_runner, outcome
from tasks.runtime.errors import PipelineError
from tasks.runtime.server import ui_location
from tasks.runtime.threads import use_threads
from tasks.settings import Settings
from tasks.study.page import render
from tasks.study.run import START_SECONDS, Row, Run, RunResult, estimate_seconds, plan, table_row
from tasks.study.variants import select
from tasks.words import duration, plural


@flow(name="mnist-study")
def mnist_study(
    names: list[str],
    settings: Settings = Settings(),
    seeds: int | None = None,
    workers: int | None = None,
    dask_address: str | None = None,
) -> list[Row]:
    """Run the variants of exercises with a fixed number of seeds, and return a row for each run.

    Args:
        names: names of the exercises, or `all`.
        settings: settings that the variants start from; the default preset is `fast`.
        seeds: largest number of runs of a variant; None: the variant's own.
        workers: processes on this machine that train at the same time; None: this one alone.
        dask_address: scheduler of a Dask cluster whose workers train.
    """
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    with store.in_use():
        data = prepare_data(PrefectExecutor(store, frozenset(settings.refresh)), settings)
        shape = data.splits.shape
        runs = plan(select(names), settings, seeds, shape)
        distinct = {run.identity: run for run in runs}
        results = {name: found for name, run in distinct.items() if (found := look_up(run))}
        new = [run for name, run in distinct.items() if name not in results]
        log.info(
            f"{plural(len(runs), 'run')}, {len(distinct)} of them different:"
            f" {len(results)} cached, {len(new)} to train"
        )
        for run, result in train_all(new, shape, workers, dask_address):
            results[run.identity] = result
    rows = [table_row(run, results[run.identity], shape) for run in runs]
    for exercise in select(names):
        mine = render("page.md.j2", [row for row in rows if row.exercise == exercise.name])
        create_markdown_artifact(key=f"study-{exercise.name}", markdown=mine)
    log.info(ui_location())
    return rows


def look_up(run: Run) -> RunResult | None:
    """Return the cached result of a run, or why it can't be run; None if it must be trained."""
    if run.problem:
        return RunResult(problem=run.problem)
    if run.settings.refresh:
        return None
    store, repetitions = open_store(run.settings.artifacts), {"train": run.repetition}
    executor = LookupExecutor(store, repetitions=repetitions, cached_only=True)
    try:
        return train_and_score(executor, run.settings, run.weights_seed)
    except NotCachedError:
        return None


def train_all(
    runs: Sequence[Run], shape: Shape, workers: int | None, address: str | None
) -> Iterator[tuple[Run, RunResult]]:
    """Train runs, log the time that it will take and the progress, and yield each result."""
    costs = {run.identity: estimate_seconds(run, shape) for run in runs}
    total, done, started = sum(costs.values()), 0.0, time.monotonic()
    if runs:
        log.info(f"about {duration(START_SECONDS + total / (workers or 1))} on two quiet cores")
    for number, (run, result) in enumerate(outcomes(runs, workers, address), start=1):
        done += costs[run.identity]
        left = duration((time.monotonic() - started) * (total - done) / done)
        log.info(f"[{number} of {len(runs)}] {run.name}: {result.text}; {left} left")
        yield run, result


def outcomes(
    runs: Sequence[Run], workers: int | None, address: str | None
) -> Iterator[tuple[Run, RunResult]]:
    """Train runs in this process, or on the workers of a Dask cluster, and yield each result."""
    expected = variant_dependencies()
    if not (workers or address) or not runs:
        yield from ((run, train_variant(run, expected)) for run in runs)
        return
    with dask_runner(address, workers) as runner:
        futures = {
            runner.submit(train_variant, {"run": run, "expected": expected}, wait_for=[]): run
            for run in runs
        }
        for future in as_completed(list(futures)):
            try:
                yield futures[future], outcome(future)
            except PipelineError as error:
                yield futures[future], RunResult(problem=str(error))


@task(name="train-variant", task_run_name="{run.name}")
def train_variant(run: Run, expected: dict[str, str]) -> RunResult:
    """Train and score one run, in any process that has the same code.

    Args:
        run: what to train.
        expected: digests of code and versions of libraries of the study.
    """
    before = log.level
    try:
        log.setLevel(logging.WARNING)  # the progress of single trainings is left out
        check_dependencies(run.name, variant_dependencies(), expected)
        use_threads(run.settings.threads)
        store, refresh = open_store(run.settings.artifacts), frozenset(run.settings.refresh)
        executor = LocalExecutor(store, refresh, {"train": run.repetition})
        return train_and_score(executor, run.settings, run.weights_seed)
    except PipelineError as error:
        return RunResult(problem=str(error))
    except Exception as error:  # of this variant alone: the others go on
        return RunResult(problem=f"{type(error).__name__}: {error}")
    finally:
        log.setLevel(before)
