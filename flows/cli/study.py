"""The command line of flows/study.py."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from pydantic import PositiveInt

from flows.cli.common import (
    SettingsOption,
    call_flow,
    make_app,
    parse,
    run_to_exit_code,
    with_refresh_all,
)
from tasks.engine.store import open_store
from tasks.runtime.errors import PipelineError
from tasks.settings import Settings


def study_main(arguments: list[str]) -> int:
    """Run `python flows/study.py` and return its exit code."""
    return parse(study_app(), with_refresh_all(arguments))


def study_app() -> App:
    """Return the command line of `python flows/study.py`."""
    app = make_app("study.py")

    @app.default
    def run(
        names: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
        /,
        *,
        seeds: PositiveInt | None = None,
        workers: PositiveInt | None = None,
        dask_address: str | None = None,
        write: Path | None = None,
        settings: SettingsOption = Settings(),
    ) -> int:
        """Answer the tutorial's exercises by measurement; without a name, list the questions.

        Args:
            names: Exercises to run, or `all`.
            seeds: Runs of each variant, with consecutive seeds from --seed. Default: 8, or 5 of
                those that take long.
            workers: Processes on this machine that train at the same time. Default: one.
            dask_address: Scheduler of a Dask cluster whose workers train, as in tcp://host:8786.
            write: Fill in the numbers between the marks of this Markdown file too, or write it.
            settings: Settings that all variants start from.
        """
        from tasks.study.variants import EXERCISES, select

        if not names:
            width = max(len(exercise.name) for exercise in EXERCISES)
            for one in EXERCISES:
                print(f"{one.number or '':>2}  {one.name:<{width}}  {one.question}")
            print("\npython flows/study.py NAME … | all")
            return 0
        select(names)

        def job() -> None:
            entrypoint = "flows.study:mnist_study"
            rows = call_flow(entrypoint, names, settings, seeds, workers, dask_address)
            finish(rows, settings, write)

        return run_to_exit_code(job)

    return app


def finish(rows: list[Any], settings: Settings, write: Path | None) -> None:
    """Write the table and the page into the artifact root, and fill in a text.

    Raises:
        PipelineError: no run has a result, or a file cannot be written.
    """
    from tasks.study.page import write_document, write_study

    if problems := {row.problem for row in rows if row.problem}:
        print("\n".join(sorted(f"failed: {problem}" for problem in problems)), file=sys.stderr)
    command = f"python flows/study.py {shlex.join(sys.argv[1:])}"
    page = write_study(open_store(settings.artifacts), rows, command)
    if all(row.problem for row in rows):
        raise PipelineError("no run has a result")
    print(f"answers: {page}")
    if write:
        write_document(write, rows)
        print(f"written: {write}")
