"""A Prefect flow with as many cached trivial tasks as the pipeline has stages.

python -m benchmarks.ways.bare_prefect COUNT [options|modules]: nothing more, or the pipeline's
options are read before the flow, or its modules are imported as well.
"""

import sys

from prefect import flow, task
from prefect.cache_policies import INPUTS


@task(cache_policy=INPUTS, persist_result=True)
def step(number: int, previous: int) -> int:
    return previous + number


@flow(log_prints=False)
def bare(count: int) -> int:
    result = 0
    for number in range(count):
        result = step(number, result)
    return result


def prepare(what: str) -> None:
    """Do what the pipeline does before its flow begins."""
    from flows.cli.pipeline import pipeline_app

    pipeline_app().parse_args(["--source", "digits", "--iterations", "300"])
    if what == "modules":
        import flows.pipeline  # noqa: F401


if __name__ == "__main__":
    for what in sys.argv[2:]:
        prepare(what)
    bare(int(sys.argv[1]))
