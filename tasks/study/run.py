"""Studies from beginning to end: which runs, and what is made of them.

How a run is done is for the caller to say: with Prefect in several processes, or only looked up.
"""

import datetime
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tasks.geometry import size_fault
from tasks.model.costs import count_costs
from tasks.records import Shape
from tasks.settings import WHERE_AND_HOW_AGAIN, Settings
from tasks.study.answer import Answer, Candidate, Outcome, Row, compare, front, make_row
from tasks.study.conclusions import conclude
from tasks.study.design import Job, Search, Study, Variant, make_job, given_settings
from tasks.study.result import RunResult

Compute = Callable[[Sequence[Job]], Mapping[str, Outcome]]
"""Runs jobs, none twice; gives what came of each by its identity."""

MOST_FINALISTS = 3
"""Networks found by a search that are run with every seed."""


@dataclass(frozen=True)
class StudyContext:
    """What all studies of a command have in common."""

    settings: Settings
    """What was said on the command line, over the preset."""
    seeds: int
    shape: Shape
    data_source: str

    @property
    def said(self) -> dict[str, Any]:
        return given_settings(self.settings)


def run_study(study: Study, context: StudyContext, compute: Compute) -> Answer:
    """Run the variants of a study and draw its conclusions."""
    rows = run_variants(study, study.variants, context, compute)
    candidates: tuple[Candidate, ...] = ()
    chosen = None
    if study.search:
        candidates, finalists = search_networks(study, study.search, rows[0], context, compute)
        rows += run_variants(study, finalists, context, compute)
        chosen = finalists[0].name if finalists else None
    jobs = [job for v in study.variants if isinstance(job := plan_job(study, v, context, 0), Job)]
    first = context.settings.training.seed
    answer = Answer(
        number=study.number,
        name=study.name,
        question=study.question,
        rows=compare(rows),
        candidates=candidates,
        chosen=chosen,
        shows_activations=study.shows_activations,
        seeds=tuple(range(first, first + context.seeds)),
        iterations=tuple(sorted({job.settings.schedule.iterations for job in jobs})),
        settings=common_settings(study, context),
        command=command((study.name,), context),
        data_source=context.data_source,
        machine=machine(rows),
        versions={
            "Python": platform.python_version(),
            "TensorFlow": importlib.metadata.version("tensorflow"),
        },
        finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    return answer.model_copy(update={"conclusions": conclude(answer)})


def run_variants(
    study: Study, variants: Sequence[Variant], context: StudyContext, compute: Compute
) -> list[Row]:
    """A row for each variant, with every seed; what cannot be built fails before anything runs."""
    planned = [[plan_job(study, v, context, n) for n in range(context.seeds)] for v in variants]
    jobs = [job for row in planned for job in row if isinstance(job, Job)]
    # Seed by seed, so that what is interrupted has something of every variant.
    jobs.sort(key=lambda job: job.settings.training.seed)
    outcomes = compute(jobs)
    return [
        make_row(
            variant.name,
            options(variant.changes),
            next(
                (
                    count_costs(job.settings.network, context.shape)
                    for job in row
                    if isinstance(job, Job)
                ),
                None,
            ),
            [outcomes.get(job.identity) if isinstance(job, Job) else job for job in row],
        )
        for variant, row in zip(variants, planned, strict=True)
    ]


def plan_job(study: Study, variant: Variant, context: StudyContext, number: int) -> Job | str:
    """The run of a variant with one seed, or why there can be none."""
    try:
        job = make_job(study, variant, context.said, number)
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    shape = context.shape
    return size_fault(job.settings.network, shape.height, shape.width) or job


def search_networks(
    study: Study, search: Search, reference: Row, context: StudyContext, compute: Compute
) -> tuple[tuple[Candidate, ...], tuple[Variant, ...]]:
    """Let a sampler choose networks, run them with the first seed, and take the smallest good ones.

    Returns:
        All that were tried, and the variants to run with every seed, the smallest first. Only
        validation accuracy is looked at.
    """
    from tasks.study.search import Sampler

    sampler = Sampler(search)
    tried: dict[str, tuple[Variant, Job, RunResult]] = {}
    while variants := sampler.ask():
        attempts = [plan_job(study, variant, context, 0) for variant in variants]
        outcomes = compute([job for job in attempts if isinstance(job, Job)])
        results: list[tuple[int, float] | None] = []
        for variant, job in zip(variants, attempts, strict=True):
            trial = outcomes.get(job.identity) if isinstance(job, Job) else None
            if isinstance(job, Job) and isinstance(trial, RunResult):
                tried.setdefault(job.identity, (variant, job, trial))
                size = count_costs(job.settings.network, context.shape).parameters
                results.append((size, trial.validation))
            else:
                results.append(None)
        if all(isinstance(job, Job) and outcomes.get(job.identity) is None for job in attempts):
            break  # nothing more is kept, and nothing is to be run
        sampler.tell(results)
    found = list(tried.values())
    sizes = [count_costs(job.settings.network, context.shape) for _, job, _ in found]
    on_front = front(
        [(c.parameters, t.validation) for c, (_, _, t) in zip(sizes, found, strict=True)]
    )
    candidates = tuple(
        Candidate(
            settings=options(variant.changes),
            costs=costs,
            validation=trial.validation,
            on_front=best,
        )
        for (variant, _, trial), costs, best in zip(found, sizes, on_front, strict=True)
    )
    needed = reference.validation.mean - search.tolerance if reference.validation else 1.0
    good = sorted(
        (costs.parameters, n)
        for n, (costs, best) in enumerate(zip(sizes, on_front, strict=True))
        if best and found[n][2].validation >= needed
    )
    finalists = tuple(
        found[n][0].model_copy(update={"name": f"{parameters:,} parameters"})
        for parameters, n in good[:MOST_FINALISTS]
    )
    return candidates, finalists


def options(changes: Mapping[str, Any]) -> str:
    """Changed settings as they are written on the command line."""
    said = []
    for group, values in changes.items():
        for name, value in (values if isinstance(values, Mapping) else {group: values}).items():
            option = f"--{name.replace('_', '-')}"
            if isinstance(value, bool):
                said.append(option if value else f"--no-{name.replace('_', '-')}")
            elif isinstance(value, (tuple, list)):
                said.append(f"{option} {','.join(map(str, value)) or 'none'}")
            else:
                said.append(f"{option} {value}")
    return " ".join(said)


def common_settings(study: Study, context: StudyContext) -> str:
    """What all variants of a study start from."""
    values = dict(context.said)
    if any("preset" in variant.changes for variant in study.variants):
        values.pop("preset")
    return options(result_settings(values)) or "the defaults"


def result_settings(said: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that say where results are, or that they shall be made anew."""
    return {k: v for k, v in said.items() if k not in WHERE_AND_HOW_AGAIN and v != {}}


def command(names: Sequence[str], context: StudyContext) -> str:
    """What to type to get the same answers."""
    said = options(result_settings(context.said))
    return f"python flows/study.py {' '.join(names)} --seeds {context.seeds} {said}".rstrip()


def machine(rows: Sequence[Row]) -> str:
    """The processors that the variants were trained on."""
    devices = (trial.device for row in rows for trial in row.done)
    return "; ".join(dict.fromkeys(d.name for d in devices if d)) or "no machine yet"
