"""Accuracy of a preset over several seeds, and its training time as a share of the tutorial's.

Each run of the preset is followed by a part of the tutorial's training, so that both times are of
the same minute. Times are the stage `train`'s own: without imports, compiling and evaluation.

python -m benchmarks.presets --help
"""

import argparse
import statistics
import tempfile
from typing import Any

from scipy import stats

from flows.graph import train_and_score
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store, open_store
from tasks.runtime.threads import use_threads
from tasks.settings import ScheduleSettings, Settings
from tasks.settings.presets import PRESETS
from tasks.study.run import RunResult

PART = 400
"""Iterations of the tutorial between two runs; the time of all of them is in proportion."""


def measure_run(store: Store, preset: str, iterations: int, seed: int, source: str) -> RunResult:
    """Train anew, whatever is cached, and score the validation and the test split."""
    settings: dict[str, Any] = {
        "preset": preset,
        "schedule": {"milestones": ()} | ({"iterations": iterations} if iterations else {}),
        "training": {"seed": seed},
        "download": {"source": source} if source else {},
    }
    executor = LocalExecutor(store, refresh=frozenset({"train"}))
    return train_and_score(executor, Settings.model_validate(settings), weights_seed=seed)


def show(preset: str, runs: list[RunResult], parts: list[RunResult]) -> None:
    """Print means, spread and the ratio of the times so far."""
    for name in ("validation", "test"):
        values = [100 * getattr(run, name) for run in runs]
        if len(values) > 1:
            mean, seeds = statistics.mean(values), len(values)
            low, high = stats.t.interval(0.95, seeds - 1, mean, stats.sem(values))
            print(
                f"{name}: {mean:.3f} %, standard deviation {statistics.stdev(values):.3f},"
                f" 95 % interval {low:.3f} to {high:.3f}, {seeds} seeds"
            )
    share = ScheduleSettings().iterations / PART
    for name in ("train_seconds",) if parts else ():
        ratios = [
            share * getattr(part, name) / getattr(run, name)
            for run, part in zip(runs, parts, strict=False)
        ]
        print(
            f"{preset} takes 1/{statistics.median(ratios):.1f} of tutorial's {name}, in the"
            f" median of {len(ratios)} pairs ({min(ratios):.1f} to {max(ratios):.1f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="fast")
    parser.add_argument("--iterations", type=int, default=0, help="other than the preset's")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--no-times", action="store_true", help="accuracy only")
    parser.add_argument("--source", default="", help="default: download MNIST")
    arguments = parser.parse_args()

    use_threads(2)
    runs, parts = [], []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        store.prepare()
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            runs.append(
                measure_run(store, arguments.preset, arguments.iterations, seed, arguments.source)
            )
            print(
                f"seed {seed}: validation {runs[-1].validation:.2%}, test {runs[-1].test:.2%},"
                f" {runs[-1].iterations} iterations in {runs[-1].train_seconds} s",
                flush=True,
            )
            if not arguments.no_times:
                parts.append(measure_run(store, "tutorial", PART, seed, arguments.source))
    show(arguments.preset, runs, parts)


if __name__ == "__main__":
    main()
