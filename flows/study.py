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

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import as_completed

from flows.cli.study import look_up
from flows.graph import prepare_data, train_and_score, variant_dependencies
from tasks.engine.executors import LocalExecutor, PrefectExecutor
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
from tasks.words import duration, percent, plural


@flow(name="mnist-study")
def mnist_study(
    names: list[str],
    settings: Settings = Settings(),
    seeds: int | None = None,
    workers: int | None = None,
    dask_address: str | None = None,
) -> list[Row]:
    """Run the variants of exercises with a fixed number of seeds.

    Args:
        names: names of the exercises, or `all`.
        settings: settings that the variants start from; the default preset is `fast`.
        seeds: largest number of runs of a variant; None: the variant's own.
        workers: processes on this machine that train at the same time; None: this one alone.
        dask_address: scheduler of a Dask cluster whose workers train.

    Returns:
        A row for each run.
    """
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    with store.in_use():
        data = prepare_data(PrefectExecutor(store, frozenset(settings.refresh)), settings)
        shape = data.splits.shape
        runs = plan(select(names), settings, seeds, shape)
        distinct = {run.identity: run for run in runs}
        results = {
            identity: found
            for identity, run in distinct.items()
            if run.problem or not settings.refresh
            if (found := look_up(run, store))
        }
        new = [run for identity, run in distinct.items() if identity not in results]
        log.info(
            f"{plural(len(runs), 'run')}, {len(distinct)} of them different:"
            f" {len(results)} cached, {len(new)} to train"
        )
        for run, result in train_all(new, shape, workers, dask_address):
            results[run.identity] = result
    rows = [table_row(run, results[run.identity], shape) for run in runs]
    for exercise in select(names):
        mine = [row for row in rows if row.exercise == exercise.name]
        create_markdown_artifact(key=f"study-{exercise.name}", markdown=render("page.md.j2", mine))
    log.info(ui_location())
    return rows


def train_all(
    runs: Sequence[Run], shape: Shape, workers: int | None, address: str | None
) -> Iterator[tuple[Run, RunResult]]:
    """Train runs, log the time that it will take and the progress, and yield each result."""
    if not runs:
        return
    at_once = workers or 1
    costs = [estimate_seconds(run, shape) for run in runs]
    log.info(f"about {duration(START_SECONDS + sum(costs) / at_once)} on two quiet cores")
    started, done, cost_done = time.monotonic(), 0, 0.0
    for run, result in outcomes(runs, workers, address):
        done, cost_done = done + 1, cost_done + estimate_seconds(run, shape)
        seconds = time.monotonic() - started
        left = seconds * (sum(costs) - cost_done) / cost_done
        log.info(f"[{done} of {len(runs)}] {run.name}: {described(result)}; {duration(left)} left")
        yield run, result


def described(result: RunResult) -> str:
    """Return the numbers of a run for the log."""
    if result.problem:
        return f"failed: {result.problem}"
    return (
        f"{percent(result.test_correct / result.test_total)} (validation"
        f" {percent(result.validation_correct / result.validation_total)}), trained in"
        f" {duration(result.train_seconds)}"
    )


def outcomes(
    runs: Sequence[Run], workers: int | None, address: str | None
) -> Iterator[tuple[Run, RunResult]]:
    """Train runs in this process, or on the workers of a Dask cluster, and yield each result."""
    expected = variant_dependencies()
    if not (workers or address):
        for run in runs:
            yield run, train_variant(run, expected)
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
    try:
        check_dependencies(run.name, variant_dependencies(), expected)
        use_threads(run.settings.threads)
        store = open_store(run.settings.artifacts)
        repetitions = {"train": run.repetition}
        executor = LocalExecutor(store, frozenset(run.settings.refresh), repetitions)
        with warnings_only():
            return train_and_score(executor, run.settings, run.weights_seed)
    except PipelineError as error:
        return RunResult(problem=str(error))
    except Exception as error:  # of this variant alone: the others go on
        return RunResult(problem=f"{type(error).__name__}: {error}")


@contextmanager
def warnings_only() -> Iterator[None]:
    """Leave out the log lines of a single training."""
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
