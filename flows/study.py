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

from collections.abc import Mapping, Sequence

import cloudpickle
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import serialize_context

from flows.graph import prepare_data, train_and_score, variant_dependencies
from tasks.engine.executors import PrefectExecutor
from tasks.engine.store import Store, open_store
from tasks.runtime.console import log
from tasks.runtime.server import ui_location
from tasks.runtime.threads import use_threads
from tasks.settings import Settings
from tasks.study.answer import StudyAnswer
from tasks.study.decide import DEFAULT_SEEDS, SeedBudget
from tasks.study.design import Job
from tasks.study.estimate import estimate_text
from tasks.study.exercises import BY_NAME
from tasks.study.pages import answer_markdown, table_rows
from tasks.study.publish import add_plot, plot_bytes, study_lines, write_answer
from tasks.study.result import Outcome, RunResult
from tasks.study.run import StudyContext, run_study
from tasks.study.workers import Training, Workers, start_workers
from tasks.words import duration, percent


@flow(name="mnist-study")
def mnist_study(
    studies: Sequence[str],
    settings: Settings = Settings(),
    seeds: str = DEFAULT_SEEDS,
    workers: int | None = None,
) -> list[StudyAnswer]:
    """Answer exercises: run the variants of each study, compare them, and draw conclusions.

    Args:
        studies: names of the studies.
        settings: settings that the variants start from; the default preset is `fast`.
        seeds: number of runs of each variant, with consecutive seeds from that in the settings; or
            the smallest and the largest number, as in 3..20: a variant that is decided gets no
            more.
        workers: number of variants to train at the same time; None: one for each core of this
            machine, or for each worker at `settings.dask_address`.
    """
    use_threads(settings.threads)
    budget = SeedBudget.parse(seeds)
    store = open_store(settings.artifacts)
    with store.in_use():
        executor = PrefectExecutor(store, frozenset(settings.refresh))
        data = prepare_data(executor, settings)
        context = StudyContext(settings, budget, data.splits.shape, data.download.source)
        answers = []
        with start_workers(settings, workers, Training(train_job, variant_dependencies)) as pool:
            runner = JobRunner(pool)
            if len(studies) > 1:
                chosen = [BY_NAME[name] for name in studies]
                log.info(f"{len(studies)} studies: {estimate_text(chosen, context)}")
            for name in studies:
                log.info(f"\nstudy: {name}: {estimate_text([BY_NAME[name]], context)}")
                answer = add_plot(executor, run_study(BY_NAME[name], context, runner.compute))
                page = write_answer(store, answer)
                publish(store, answer)
                log.info(f"{study_lines(answer)}\nanswer: {page}")
                answers.append(answer)
    log.info(ui_location())
    log.info(f"all answers: {store.address}/studies/index.html")
    return answers


@flow(name="train-variant")
def train_variant(
    settings: Settings, repetition: int = 0, weights_seed: int = 0, probes: bool = False
) -> RunResult:
    """Train and score one variant with one seed.

    Args:
        settings: settings of the variant.
        repetition: number that trains again with the same settings; 0 is the ordinary run.
        weights_seed: seed of the initial weights.
        probes: whether outputs and gradients before training are computed, too.
    """
    store = open_store(settings.artifacts)
    executor = PrefectExecutor(store, frozenset(settings.refresh), {"train": repetition})
    return train_and_score(executor, settings, weights_seed, probes)


def train_job(job: Job) -> RunResult:
    """Train a variant as a flow run of its own."""
    variant = train_variant.with_options(flow_run_name=job.name)
    return variant(job.settings, job.repetition, job.weights_seed, job.probes)


class JobRunner:
    """Run jobs on the workers, none twice, and log the progress."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self.outcomes: dict[str, Outcome] = {}

    def compute(self, jobs: Sequence[Job]) -> Mapping[str, Outcome]:
        """Return the outcome of each job; see `Compute` in tasks/study/run.py."""
        new = list(
            {job.identity: job for job in jobs if job.identity not in self.outcomes}.values()
        )
        done = 0

        def report(job: Job, outcome: RunResult | str) -> None:
            nonlocal done
            done += 1
            self.outcomes[job.identity] = outcome
            log.info(f"[{done} of {len(new)}] {job.name}: {describe_outcome(outcome)}")

        self.workers.run(new, cloudpickle.dumps(serialize_context()), report)
        return self.outcomes


def describe_outcome(outcome: RunResult | str) -> str:
    """Return the outcome of a job for the log."""
    if isinstance(outcome, str):
        return f"failed: {outcome}"
    return (
        f"{percent(outcome.test)} (validation"
        f" {percent(outcome.validation)}), trained in {duration(outcome.train_seconds)}"
    )


def publish(store: Store, answer: StudyAnswer) -> None:
    """Publish the answer as artifacts of the flow run."""
    create_table_artifact(
        key=f"study-{answer.name}-variants", table=table_rows(answer), description=answer.question
    )
    create_markdown_artifact(
        key=f"study-{answer.name}",
        markdown=answer_markdown(answer, plot_bytes(store, answer)),
        description=answer.question,
    )
