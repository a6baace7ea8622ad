"""The command line of flows/study.py."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from pydantic import PositiveInt

from flows.cli.common import SettingsOption, make_app, parse, run_to_exit_code
from tasks.engine.store import open_store
from tasks.runtime.errors import PipelineError
from tasks.runtime.threads import use_threads
from tasks.settings import Settings
from tasks.study.decide import DEFAULT_SEEDS, SeedBudget


def study_main(arguments: list[str]) -> int:
    """Run `python flows/study.py` and return its exit code."""
    return parse(study_app(), arguments)


def study_app() -> App:
    """Return the command line of `python flows/study.py`."""
    app = make_app("study.py")

    @app.default
    def run(
        names: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
        /,
        *,
        seeds: str = DEFAULT_SEEDS,
        workers: PositiveInt | None = None,
        write: Path | None = None,
        cached_only: Annotated[bool, Parameter(negative=())] = False,
        settings: SettingsOption = Settings(),
    ) -> int:
        """Answer the tutorial's exercises by measurement; without a name, list them.

        Args:
            names: Studies to run, or `all`.
            seeds: Runs of each variant, with consecutive seeds from --seed: a number, or the
                smallest and the largest one. A variant that is decided gets no more.
            workers: Variants to train at the same time. Default: one for each core of this machine,
                or for each worker at --dask-address.
            write: Write the answers into this Markdown file too, and their plots beside it.
            cached_only: Train nothing: answer from the cached results.
            settings: Settings that all variants start from.
        """
        if not names:
            print("\n".join(study_list()))
            return 0
        selected, budget = select_names(names), SeedBudget.parse(seeds)
        common = settings
        answers: list[Any] = []

        def job() -> None:
            if cached_only:
                answers.extend(answer_from_cache(selected, common, budget))
            else:
                from prefect.flows import load_flow_from_entrypoint

                from tasks.runtime.server import server_for_this_run

                mnist_study: Any = load_flow_from_entrypoint("flows.study:mnist_study")
                with server_for_this_run():
                    answers.extend(mnist_study(selected, common, seeds, workers))
            if write:
                write_answers(names, answers, common, budget, write)

        return run_to_exit_code(job)

    return app


def study_list() -> list[str]:
    """Return lines with number, name, question and variants of each study."""
    from tasks.study.exercises import STUDIES

    width = max(len(study.name) for study in STUDIES)
    lines = []
    for study in STUDIES:
        search = f" + a search with {study.search.trials} trials" if study.search else ""
        lines.append(f"{study.number:>2}  {study.name:<{width}}  {study.question}")
        names = "; ".join(variant.name for variant in study.variants)
        lines.append(f"    {'':<{width}}  {names}{search}")
    return [*lines, "", "python flows/study.py NAME … | all"]


def select_names(names: list[str]) -> list[str]:
    """Return the selected studies in the order of the exercises.

    Raises:
        PipelineError: there is no study with one of the names.
    """
    from tasks.study.exercises import BY_NAME

    if unknown := [name for name in names if name != "all" and name not in BY_NAME]:
        raise PipelineError(
            f"{unknown[0]}: no such study; there are {', '.join(BY_NAME)}, and all of them: all"
        )
    return [name for name in BY_NAME if name in names or "all" in names]


def answer_from_cache(names: list[str], settings: Settings, seeds: SeedBudget) -> list[Any]:
    """Answer studies from cached results; neither Prefect nor TensorFlow is imported.

    Raises:
        PipelineError: the data set is not cached.
    """
    from flows.graph import prepare_data, train_and_score
    from tasks.engine import LocalExecutor, LookupExecutor, NotCachedError
    from tasks.study.design import Job
    from tasks.study.exercises import BY_NAME
    from tasks.study.publish import add_plot, study_lines, write_answer
    from tasks.study.result import Outcome
    from tasks.study.run import StudyContext, run_study

    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    store.prepare()
    cached = LookupExecutor(store, cached_only=True)
    try:
        data = prepare_data(cached, settings)
    except NotCachedError as error:
        raise PipelineError(
            f"--cached-only: {error} is not cached in {store.address}; run the study without this"
            " option first"
        ) from error

    def look_up(job: Job) -> Outcome:
        use_threads(job.settings.threads)  # part of the keys
        executor = LookupExecutor(store, repetitions={"train": job.repetition}, cached_only=True)
        try:
            return train_and_score(executor, job.settings, job.weights_seed, job.probes)
        except NotCachedError:
            return None

    context = StudyContext(settings, seeds, data.splits.shape, data.download.source)
    answers = []
    for name in names:
        answer = run_study(
            BY_NAME[name], context, lambda jobs: {job.identity: look_up(job) for job in jobs}
        )
        answer = add_plot(LocalExecutor(store), answer)
        print(f"{study_lines(answer)}\nanswer: {write_answer(store, answer)}\n")
        answers.append(answer)
    return answers


def write_answers(
    names: list[str], answers: list[Any], settings: Settings, seeds: SeedBudget, path: Path
) -> None:
    """Write the answers as one document, with the command that gives them."""
    from tasks.study.publish import write_document
    from tasks.study.run import study_command

    command = f"{study_command(names, settings, seeds)} --write {path}"
    write_document(open_store(settings.artifacts), answers, command, path)
    print(f"written: {path}")
