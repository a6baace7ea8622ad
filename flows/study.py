"""The exercises: many settings side by side, answered by measurement.

python flows/study.py --help
"""

import sys

if __name__ == "__main__":
    # Options are read before Prefect is imported, which takes seconds.
    from flows.cli.study import study

    sys.exit(study(sys.argv[1:]))

from collections.abc import Mapping, Sequence

import cloudpickle
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import serialize_context

from flows.graph import prepare_data, train_and_score, variant_dependencies
from tasks.engine.executors import PrefectExecutor, RepeatedExecutor
from tasks.engine.store import Store, open_store
from tasks.report.formatting import duration, percent
from tasks.runtime.console import log
from tasks.runtime.hooks import publish_failure_reason
from tasks.runtime.server import ui_location
from tasks.runtime.threads import use_threads
from tasks.settings import Settings
from tasks.study.answer import Answer, Outcome
from tasks.study.design import Job
from tasks.study.exercises import BY_NAME
from tasks.study.pages import answer_markdown, table_rows
from tasks.study.publish import answer_lines, plot_bytes, add_plot, write_answer
from tasks.study.result import RunResult
from tasks.study.run import StudyContext, run_study
from tasks.study.workers import Training, Workers, workers


@flow(name="mnist-study", on_failure=[publish_failure_reason], on_crashed=[publish_failure_reason])
def mnist_study(
    studies: Sequence[str],
    settings: Settings = Settings(),
    seeds: int = 3,
    at_a_time: int | None = None,
) -> list[Answer]:
    """Answer exercises: run the variants of each study, compare them, say what follows.

    Args:
        studies: their names.
        settings: what the variants start from; the preset is `fast` where nothing is said.
        seeds: of each variant, one after the other from that in the settings.
        at_a_time: how many variants are trained at the same time; by default one on each core, or
            by each of Dask's workers.
    """
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    store.prepare()
    executor = PrefectExecutor(store, frozenset(settings.refresh))
    downloaded, splits = prepare_data(executor, settings)
    context = StudyContext(settings, seeds, splits.shape, downloaded.source)
    answers = []
    with workers(settings, at_a_time, Training(train_job, variant_dependencies)) as pool:
        runner = JobRunner(pool)
        for name in studies:
            log.info(f"\nstudy: {name}")
            answer = add_plot(executor, run_study(BY_NAME[name], context, runner.compute))
            page = write_answer(store, answer)
            publish(store, answer)
            log.info(f"{answer_lines(answer)}\nanswer: {page}")
            answers.append(answer)
    log.info(ui_location())
    log.info(f"all answers: {store.address}/studies/index.html")
    return answers


@flow(name="train-variant", flow_run_name="{name}")
def train_variant(
    name: str, settings: Settings, again: int = 0, weights_seed: int = 0
) -> RunResult:
    """One variant with one seed.

    Args:
        name: of the flow run.
        settings: all of them.
        again: a number that trains anew what is kept already.
        weights_seed: of the initial weights.
    """
    store = open_store(settings.artifacts)
    executor = PrefectExecutor(store, frozenset(settings.refresh))
    return train_and_score(RepeatedExecutor(executor, "train", again), settings, weights_seed)


def train_job(job: Job) -> RunResult:
    """Train a variant as a flow run of its own."""
    return train_variant(job.name, job.settings, job.again, job.weights_seed)


class JobRunner:
    """Hands jobs to the workers, none twice, and says how far a study is."""

    def __init__(self, pool: Workers) -> None:
        self.pool = pool
        self.known: dict[str, Outcome] = {}

    def compute(self, jobs: Sequence[Job]) -> Mapping[str, Outcome]:
        """See `run_study.Compute`."""
        new = list({job.identity: job for job in jobs if job.identity not in self.known}.values())
        done = 0

        def tell(job: Job, outcome: RunResult | str) -> None:
            nonlocal done
            done += 1
            self.known[job.identity] = outcome
            log.info(f"[{done} of {len(new)}] {job.name}: {describe_outcome(outcome)}")

        self.pool.run(new, cloudpickle.dumps(serialize_context()), tell)
        return self.known


def describe_outcome(outcome: RunResult | str) -> str:
    if isinstance(outcome, str):
        return f"failed: {outcome}"
    return (
        f"{percent(outcome.test)} (validation {percent(outcome.validation)}), trained in"
        f" {duration(outcome.train_seconds)}"
    )


def publish(store: Store, answer: Answer) -> None:
    """The answer as artifacts of the flow run."""
    create_table_artifact(
        key=f"study-{answer.name}-variants", table=table_rows(answer), description=answer.question
    )
    create_markdown_artifact(
        key=f"study-{answer.name}",
        markdown=answer_markdown(answer, plot_bytes(store, answer)),
        description=answer.question,
    )
