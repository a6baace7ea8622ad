"""Studies from the planned runs to the answer.

The caller provides a function that runs jobs, or only looks their results up in the cache.
"""

import datetime
import importlib.metadata
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from tasks.geometry import size_problem
from tasks.model.costs import Costs, count_costs
from tasks.records import Shape
from tasks.settings import NOT_RESULT_SETTINGS, Settings
from tasks.study.answer import Candidate, Row, StudyAnswer, compare, make_row
from tasks.study.conclusions import conclude
from tasks.study.decide import Look, SeedBudget
from tasks.study.design import Job, Search, Study, Variant, given_settings, make_job, merge
from tasks.study.result import Outcome, RunResult

Compute = Callable[[Sequence[Job]], Mapping[str, Outcome]]
"""Function that runs jobs, none twice, and returns outcomes by the identity of the job."""


@dataclass(frozen=True)
class StudyContext:
    """Settings and data that all studies of a command have in common."""

    settings: Settings
    """Settings from the command line."""
    seeds: SeedBudget
    shape: Shape
    data_source: str

    @property
    def given(self) -> dict[str, Any]:
        """The settings that the user gave."""
        return given_settings(self.settings)


def run_study(study: Study, context: StudyContext, compute: Compute) -> StudyAnswer:
    """Run the variants of a study, compare them, and draw its conclusions."""
    variants = study.variants
    candidates: tuple[Candidate, ...] = ()
    chosen = None
    if study.search:
        candidates, finalists = search_networks(study, study.search, context, compute)
        variants += finalists
        chosen = finalists[0].name if finalists else None
    rows, looks = run_until_decided(study, variants, context, compute)
    jobs = [job for v in study.variants if isinstance(job := plan_job(study, v, context, 0), Job)]
    first = context.settings.training.seed
    answer = StudyAnswer(
        number=study.number,
        name=study.name,
        question=study.question,
        rows=rows,
        candidates=candidates,
        chosen=chosen,
        shows_activations=study.shows_activations,
        seeds=tuple(range(first, first + looks[-1].seeds)),
        looks=looks,
        iterations=tuple(sorted({job.settings.schedule.iterations for job in jobs})),
        settings=common_settings(study, context),
        command=study_command((study.name,), context.settings, context.seeds),
        data_source=context.data_source,
        machine=machine(rows),
        versions={
            "Python": platform.python_version(),
            "TensorFlow": importlib.metadata.version("tensorflow"),
        },
        finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    return answer.model_copy(update={"conclusion": conclude(answer, study.rule)})


def run_until_decided(
    study: Study, variants: Sequence[Variant], context: StudyContext, compute: Compute
) -> tuple[tuple[Row, ...], tuple[Look, ...]]:
    """Run variants seed by seed, until each is decided or no seeds are left.

    Returns:
        The compared rows, and the looks at them.
    """
    planned = context.seeds.looks(study.most_seeds)
    if not study.compares:
        rows = run_variants(study, variants, planned[0].seeds, {}, context, compute)
        return tuple(rows), planned[:1]
    return look_until_decided(
        planned,
        lambda seeds, stopped: run_variants(study, variants, seeds, stopped, context, compute),
    )


def look_until_decided(
    planned: Sequence[Look], rows_of: Callable[[int, Mapping[str, int]], Sequence[Row]]
) -> tuple[tuple[Row, ...], tuple[Look, ...]]:
    """Compare rows at the planned looks, until every comparison is decided.

    Args:
        planned: the looks, the last one after all seeds.
        rows_of: function that returns the rows, the reference first, for a number of seeds; and
            for the smaller numbers of the variants that are decided, by name.

    Returns:
        The compared rows, and the looks at them.
    """
    stopped: dict[str, int] = {}
    for number, look in enumerate(planned, start=1):
        found = [
            row.model_copy(update={"stopped": stopped.get(row.variant)})
            for row in rows_of(look.seeds, stopped)
        ]
        rows = compare(found, planned[:number])
        stopped = {r.variant: look.seeds for r in rows[1:] if r.decided} | stopped
        if len(stopped) == len(rows[1:]):
            break
    return rows, tuple(planned[:number])


def run_variants(
    study: Study,
    variants: Sequence[Variant],
    seeds: int,
    stopped: Mapping[str, int],
    context: StudyContext,
    compute: Compute,
) -> Sequence[Row]:
    """Run each variant with every seed; a network that cannot be built fails before any run.

    Args:
        study: study of the variants.
        variants: variants to run, the reference first.
        seeds: number of seeds.
        stopped: smaller number of seeds of the variants that are decided, by name.
        context: settings and data.
        compute: function that runs the jobs.
    """

    def seeds_of(variant: Variant) -> int:
        most = stopped.get(variant.name, seeds)
        return min(most, variant.most_seeds or most)

    planned = [[plan_job(study, v, context, n) for n in range(seeds_of(v))] for v in variants]
    jobs = [(n, job) for row in planned for n, job in enumerate(row) if isinstance(job, Job)]
    # Seed by seed, so that an interrupted study has results of every variant.
    jobs.sort(key=lambda pair: pair[0])
    outcomes = compute([job for _, job in jobs])
    return [
        make_row(
            variant.name,
            options(variant.changes),
            first_costs(row, context),
            [outcomes.get(job.identity) if isinstance(job, Job) else job for job in row],
            command=run_command(study, variant, context, row[0]),
            compares=variant.compares,
        )
        for variant, row in zip(variants, planned, strict=True)
    ]


def first_costs(planned: Sequence[Job | str], context: StudyContext) -> Costs | None:
    """Return the costs of the network of planned runs; None if it cannot be built."""
    jobs = (job for job in planned if isinstance(job, Job))
    return next((count_costs(job.settings.network, context.shape) for job in jobs), None)


def plan_job(study: Study, variant: Variant, context: StudyContext, number: int) -> Job | str:
    """Return the run of a variant with one seed, or the reason why it cannot be built."""
    try:
        job = make_job(study, variant, context.given, number)
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    shape = context.shape
    return size_problem(job.settings.network, shape.height, shape.width) or job


def search_networks(
    study: Study, search: Search, context: StudyContext, compute: Compute
) -> tuple[tuple[Candidate, ...], tuple[Variant, ...]]:
    """Run networks chosen by a sampler with the first seed, and choose the smallest good ones.

    Returns:
        All networks tried, and the variants to run with every seed, that of the highest goal first.
        The choice depends on validation accuracy only.
    """
    from tasks.study.search import Sampler

    sampler = Sampler(search)
    tried: dict[str, tuple[Variant, Job, RunResult]] = {}
    while variants := sampler.ask():
        planned = [plan_job(study, variant, context, 0) for variant in variants]
        outcomes = compute([job for job in planned if isinstance(job, Job)])
        results: list[tuple[int, float] | None] = []
        for variant, job in zip(variants, planned, strict=True):
            result = outcomes.get(job.identity) if isinstance(job, Job) else None
            if isinstance(job, Job) and isinstance(result, RunResult):
                tried.setdefault(job.identity, (variant, job, result))
                size = count_costs(job.settings.network, context.shape).parameters
                results.append((size, result.validation))
            else:
                results.append(None)
        if all(isinstance(job, Job) and outcomes.get(job.identity) is None for job in planned):
            break  # only cached results are used, and there are no more
        sampler.tell(results)
    found = list(tried.values())
    sizes = [count_costs(job.settings.network, context.shape) for _, job, _ in found]
    front = sampler.front()
    on_front = [
        (float(costs.parameters), result.validation) in front
        for costs, (_, _, result) in zip(sizes, found, strict=True)
    ]
    candidates = tuple(
        Candidate(
            settings=options(variant.changes),
            costs=costs,
            validation=result.validation,
            on_front=best,
        )
        for (variant, _, result), costs, best in zip(found, sizes, on_front, strict=True)
    )
    smallest: dict[int, Variant] = {}
    for goal in search.goals:
        good = [n for n, (_, _, result) in enumerate(found) if result.validation >= goal]
        if good:
            size, n = min((sizes[n].parameters, n) for n in good)
            smallest.setdefault(
                size, found[n][0].model_copy(update={"name": f"{size:,} parameters"})
            )
    return candidates, tuple(smallest.values())


def options(changes: Mapping[str, Any]) -> str:
    """Return changed settings as options of the command line, quoted for a shell."""
    parts = []
    for group, values in changes.items():
        settings = values if isinstance(values, Mapping) else {group: values}
        parts += [option(name, value) for name, value in settings.items() if value is not None]
    return " ".join(parts)


def option(name: str, value: Any) -> str:
    """Return a setting as cyclopts reads it: `--no-x` for False, `--x none` for no items."""
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    if isinstance(value, (tuple, list)):
        if not value:
            return f"--{name} none"
        value = ",".join(map(str, value))
    return f"--{name} {shlex.quote(str(value))}"


def run_command(study: Study, variant: Variant, context: StudyContext, first: Job | str) -> str:
    """Return the command line of a variant's run; empty if only a study can make such a run."""
    if isinstance(first, str) or variant.repetition or variant.fixed != "none":
        return ""
    values = merge(context.given, variant.changes)
    training = {**values.get("training", {}), "seed": first.settings.training.seed}
    schedule = dict(values.get("schedule", {}))
    if study.iterations is not None or variant.times > 1:
        schedule["iterations"] = first.settings.schedule.iterations
    given = result_settings({**values, "training": training, "schedule": schedule})
    return f"python flows/pipeline.py {options(given)}"


def common_settings(study: Study, context: StudyContext) -> str:
    """Return the settings that all variants of a study have in common, as options."""
    values = dict(context.given)
    if any("preset" in variant.changes for variant in study.variants):
        values.pop("preset")
    return options(result_settings(values)) or "the defaults"


def result_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that influence results."""
    return {k: v for k, v in given.items() if k not in NOT_RESULT_SETTINGS and v != {}}


def study_command(names: Sequence[str], settings: Settings, seeds: SeedBudget) -> str:
    """Return the command line that gives the same answers."""
    given = options(result_settings(given_settings(settings)))
    return f"python flows/study.py {' '.join(names)} --seeds {seeds} {given}".rstrip()


def machine(rows: Sequence[Row]) -> str:
    """Return the names of the processors that the variants were trained on."""
    devices = (result.device for row in rows for result in row.done)
    return "; ".join(dict.fromkeys(d.name for d in devices if d)) or "no machine yet"
