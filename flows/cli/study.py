"""The command line of flows/study.py."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from pydantic import PositiveInt

from flows.cli.common import make_app, parse, run_to_exit_code, with_refresh_all
from tasks.engine.store import open_store
from tasks.runtime.errors import PipelineError
from tasks.runtime.threads import use_threads
from tasks.settings import Settings


def study(arguments: list[str]) -> int:
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
        seeds: PositiveInt = 3,
        at_a_time: PositiveInt | None = None,
        write: Path | None = None,
        kept: bool = False,
        settings: Annotated[Settings, Parameter(name="*")] = Settings(),
    ) -> int:
        """Answer the tutorial's exercises by measurement; without a name, list them.

        Args:
            names: Studies to run, or `all`.
            seeds: Runs of each variant, with seeds one after the other from --seed.
            at_a_time: Variants to train at the same time. Default: one on each core, or by each of
                Dask's workers.
            write: Write the answers into this Markdown file too, and their plots beside it.
            kept: Run nothing: answer from the runs that are kept.
        """
        if not names:
            print("\n".join(listing()))
            return 0
        wanted = chosen(names)
        answers: list[Any] = []

        def job() -> None:
            if kept:
                answers.extend(answer_from_kept(wanted, settings, seeds))
            else:
                from prefect.flows import load_flow_from_entrypoint

                from tasks.runtime.server import server_for_this_run

                mnist_study: Any = load_flow_from_entrypoint("flows.study:mnist_study")
                with server_for_this_run():
                    answers.extend(mnist_study(wanted, settings, seeds, at_a_time))
            if write:
                write_down(names, answers, settings, seeds, write)

        return run_to_exit_code(job)

    return app


def listing() -> list[str]:
    """A line for each study: number, name, runs, question."""
    from tasks.study.exercises import STUDIES

    width = max(len(study.name) for study in STUDIES)
    lines = []
    for study in STUDIES:
        search = f" + a search with {study.search.trials} trials" if study.search else ""
        lines.append(f"{study.number:>2}  {study.name:<{width}}  {study.question}")
        names = "; ".join(variant.name for variant in study.variants)
        lines.append(f"    {'':<{width}}  {names}{search}")
    return [*lines, "", "python flows/study.py NAME … | all"]


def chosen(names: list[str]) -> list[str]:
    """The studies that are meant, in their order.

    Raises:
        PipelineError: one is not known.
    """
    from tasks.study.exercises import BY_NAME

    if unknown := [name for name in names if name != "all" and name not in BY_NAME]:
        raise PipelineError(
            f"{unknown[0]}: no such study; there are {', '.join(BY_NAME)}, and all of them: all"
        )
    return [name for name in BY_NAME if name in names or "all" in names]


def answer_from_kept(names: list[str], settings: Settings, seeds: int) -> list[Any]:
    """Answers without a run, from what is kept; neither Prefect nor TensorFlow is imported.

    Raises:
        PipelineError: not even the data is kept.
    """
    from flows.graph import prepare_data, train_and_score
    from tasks.engine import CacheOnlyExecutor, LocalExecutor, NotCachedError, RepeatedExecutor
    from tasks.study.design import Job
    from tasks.study.exercises import BY_NAME
    from tasks.study.publish import answer_lines, with_plot, write_answer
    from tasks.study.result import RunResult
    from tasks.study.run import Terms, conduct

    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    store.prepare()
    cached = CacheOnlyExecutor(store)
    try:
        downloaded, splits = prepare_data(cached, settings)
    except NotCachedError as error:
        raise PipelineError(f"--kept: {error} is not kept; run it first") from error

    def look_up(job: Job) -> RunResult | str | None:
        try:
            return train_and_score(
                RepeatedExecutor(cached, "train", job.again), job.settings, job.weights_seed
            )
        except NotCachedError:
            return None

    terms = Terms(settings, seeds, splits.shape, downloaded.source)
    answers = []
    for name in names:
        answer = conduct(
            BY_NAME[name], terms, lambda jobs: {job.identity: look_up(job) for job in jobs}
        )
        answer = with_plot(LocalExecutor(store), answer)
        print(f"{answer_lines(answer)}\nanswer: {write_answer(store, answer)}\n")
        answers.append(answer)
    return answers


def write_down(
    names: list[str], answers: list[Any], settings: Settings, seeds: int, path: Path
) -> None:
    """The answers as a document, with the command that gives them again."""
    from tasks.study.design import what_was_said
    from tasks.study.publish import write_document
    from tasks.study.run import options, shown

    said = options(shown(what_was_said(settings)))
    command = f"python flows/study.py {' '.join(names)} --seeds {seeds} {said} --write {path}"
    write_document(open_store(settings.artifacts), answers, command, path)
    print(f"written: {path}")
