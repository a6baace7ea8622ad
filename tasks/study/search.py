"""Search for a small network of good accuracy: multi-objective optimisation, fixed budget."""

from typing import Any

from tasks.study.design import Search, Variant

SEARCH_COST = 0.4
"""Time of an iteration of the networks that are tried, as a share of the tutorial's: a guess."""
FILTERS = (2, 4, 6, 8, 12, 16, 32)
NEURONS = (0, 8, 16, 32, 64)
MOST_LAYERS = 4

FIRST: tuple[dict[str, Any], ...] = (
    *(
        {
            "layers": 2,
            "halving": "pooling",
            "neurons": neurons,
            "filters1": filters,
            "filters2": 2 * filters,
            "size": 5,
            "normalisation": False,
        }
        for filters, neurons in ((16, 64), (8, 32), (4, 16), (2, 0))
    ),
    *(
        {
            "layers": 4,
            "halving": "pooling",
            "neurons": 0,
            **{f"filters{n}": filters for n in (1, 2, 3, 4)},
            "size": 3,
            "normalisation": True,
        }
        for filters in (16, 12, 8, 6)
    ),
)
"""The first trials: the tutorial's network in four sizes, the largest first, and a deeper one that
pools the image away. Random networks are seldom good, and the Pareto front has to be found from
both of its ends."""


def suggest_network(trial: Any) -> dict[str, Any]:
    """Suggest one network of the search space.

    It has one to four convolutions with 2 to 32 filters of 3 × 3 or 5 × 5 pixels, with or without
    normalisation, which halve the image by max-pooling or by their stride. Before the logits, it
    has no fully-connected layer or one with 8 to 64 neurons.

    Args:
        trial: trial of Optuna.

    Returns:
        Values for `NetworkSettings`.
    """
    layers = trial.suggest_int("layers", 1, MOST_LAYERS)
    halving = trial.suggest_categorical("halving", ["pooling", "stride"])
    neurons = trial.suggest_categorical("neurons", NEURONS)
    return {
        "conv_filters": tuple(
            trial.suggest_categorical(f"filters{n}", FILTERS) for n in range(1, layers + 1)
        ),
        "conv_sizes": (trial.suggest_categorical("size", [3, 5]),),
        "conv_strides": (2 if halving == "stride" else 1,),
        "pooling": ("none" if halving == "stride" else "max",),
        "dense": (neurons,) if neurons else (),
        "normalisation": trial.suggest_categorical("normalisation", [False, True]),
    }


class Sampler:
    """Seeded tree-structured Parzen estimator (Optuna's `TPESampler`) for two objectives.

    The objectives are few parameters and a high validation accuracy. With the same results in the
    same order, it chooses the same networks.
    """

    def __init__(self, search: Search) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search = search
        self.study = optuna.create_study(
            directions=["minimize", "maximize"],
            sampler=optuna.samplers.TPESampler(
                seed=search.seed, n_startup_trials=max(1, search.trials // 3)
            ),
        )
        for values in FIRST:
            self.study.enqueue_trial(values)
        self.batch: list[Any] = []
        self.count = 0

    def ask(self) -> list[Variant]:
        """Return the next networks to try; none when the budget is used up."""
        number = min(self.search.batch_size, self.search.trials - self.count)
        self.batch = [self.study.ask() for _ in range(number)]
        variants = [
            Variant(
                name=f"trial {self.count + n + 1}",
                changes={"network": suggest_network(trial)},
                times=self.search.times,
            )
            for n, trial in enumerate(self.batch)
        ]
        self.count += number
        return variants

    def tell(self, results: list[tuple[int, float] | None]) -> None:
        """Take the results of the last networks.

        Args:
            results: parameters and validation accuracy of each; None for a failure.
        """
        from optuna.trial import TrialState

        for trial, result in zip(self.batch, results, strict=True):
            if result is None:
                self.study.tell(trial, state=TrialState.FAIL)
            else:
                self.study.tell(trial, [float(result[0]), result[1]])

    def front(self) -> set[tuple[float, float]]:
        """Return parameters and validation accuracy of the networks on the Pareto front."""
        return {(trial.values[0], trial.values[1]) for trial in self.study.best_trials}
