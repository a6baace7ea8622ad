"""Estimate of a study's duration, before it starts."""

from collections.abc import Iterable

from tasks.model.costs import Costs, count_costs
from tasks.study.design import Job, Study
from tasks.study.run import StudyContext, plan_job
from tasks.study.search import SEARCH_COST
from tasks.words import duration

REFERENCE_SECONDS = 0.0115
"""Measured for an iteration of the tutorial's network with batches of 64, on two quiet cores."""
REFERENCE_WORK = 3_363_072 * 64
"""Multiply-adds of its forward pass."""
FIXED_SHARE = 0.15
"""Share of that time that does not grow with the multiply-adds."""
AUGMENTED = 1.3
"""Factor for augmented images: --preset best was measured at 67 ms an iteration."""
OVERHEAD_SECONDS = 2.0
"""For each run: initial weights, loading and evaluation, two runs side by side."""


def iteration_seconds(job: Job, costs: Costs) -> float:
    """Return about how long a training iteration takes on two quiet cores."""
    training = job.settings.training
    work = training.batch_size * costs.multiply_adds / REFERENCE_WORK
    augmented = training.shift or training.rotation or training.zoom
    factor = AUGMENTED if augmented else 1.0
    return REFERENCE_SECONDS * (FIXED_SHARE + (1 - FIXED_SHARE) * work) * factor


def run_seconds(job: Job, context: StudyContext) -> float:
    """Return about how long a run takes on two quiet cores."""
    costs = count_costs(job.settings.network, context.shape)
    return job.settings.schedule.iterations * iteration_seconds(job, costs) + OVERHEAD_SECONDS


def estimate(
    studies: Iterable[Study], context: StudyContext, *, decided: bool
) -> tuple[int, float]:
    """Return the number of runs of some studies, and their seconds on two quiet cores.

    A run that several studies share counts once; a longer run contains the shorter one.

    Args:
        studies: to run.
        context: settings and data.
        decided: whether the first look decides every comparison; else none before the last one.
    """
    jobs: dict[str, float] = {}
    runs, seconds = 0, 0.0
    for study in studies:
        looks = context.seeds.looks(study.most_seeds)
        last = looks[0] if decided or not study.compares else looks[-1]
        for variant in study.variants:
            for number in range(min(last.seeds, variant.most_seeds or last.seeds)):
                job = plan_job(study, variant, context, number)
                if isinstance(job, Job):
                    # The first part of a longer run is a run of its own.
                    same = job.model_copy(update={"probes": False})
                    jobs[same.identity] = run_seconds(job, context) / variant.times
        if study.search:
            reference = plan_job(study, study.variants[0], context, 0)
            if isinstance(reference, Job):
                finalists = len(study.search.goals) * last.seeds
                count = study.search.trials + finalists
                each = run_seconds(reference, context) * study.search.times * SEARCH_COST
                runs, seconds = runs + count, seconds + count * each
    return runs + len(jobs), seconds + sum(jobs.values())


def estimate_text(studies: Iterable[Study], context: StudyContext) -> str:
    """Return the estimate as text, for the log."""
    chosen = list(studies)
    fewest, least = estimate(chosen, context, decided=True)
    runs, seconds = estimate(chosen, context, decided=False)
    several, time = f"{runs} runs", duration(seconds)
    if fewest < runs:
        several = f"{fewest} to {several}, until all is decided"
        time = f"{duration(least)} to {time}"
    return f"{several}; about {time} on two quiet cores, less if runs are cached"
