"""What a run would do, without doing it."""

from dataclasses import dataclass, field
from typing import Any

from tasks.stage import P, Plan, R, Run, Stage


class Unknown:
    """Stands for the record of a stage that has yet to run, and for all that is in it."""

    def __getattr__(self, name: str) -> "Unknown":
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def is_unknown(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(is_unknown, value))
    return isinstance(value, Unknown)


@dataclass
class StatusRun(Run):
    """A run that computes nothing and says what would be done."""

    verdicts: list[tuple[str, str]] = field(default_factory=list)
    """Label of each stage, and `up to date` or why it will run."""

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        arguments = stage.arguments(*args, **kwargs)
        if any(map(is_unknown, arguments.values())):
            # Its key is not known: it may turn out that nothing has changed for it.
            stand_in: R = self.will_run(stage.label.format(**arguments), "upstream will run")
            return stand_in
        return self.execute(stage.plan(*args, **kwargs))

    def execute(self, plan: Plan[R]) -> R:
        record = plan.kept(self.store)
        if record is None or self.must_refresh(plan):
            stand_in: R = self.will_run(plan.label, self.reason(plan))
            return stand_in
        self.verdicts.append((plan.label, "up to date"))
        return plan.stage.output_type.model_validate(record.output)

    def will_run(self, label: str, why: str) -> Any:
        self.verdicts.append((label, f"will run: {why}"))
        return Unknown()

    def lines(self) -> list[str]:
        """A line for each stage."""
        width = max(len(label) for label, _ in self.verdicts)
        return [f"{label:<{width}}  {verdict}" for label, verdict in self.verdicts]
