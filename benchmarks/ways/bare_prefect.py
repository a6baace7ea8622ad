"""A Prefect flow with as many cached trivial tasks as the pipeline has stages, and no more."""

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


if __name__ == "__main__":
    bare(int(sys.argv[1]))
