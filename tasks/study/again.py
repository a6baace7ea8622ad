"""Runs in which training is done anew, although it is kept; and runs that only look."""

from dataclasses import dataclass, replace
from typing import Any

from tasks.stage import Plan, R, Run
from tasks.status import StatusRun
from tasks.store import json_sha256


def numbered(plan: Plan[R], again: int) -> Plan[R]:
    """A plan of training with a number in its key: what was trained with another is no hit.

    What comes after training is keyed by its bytes. If they are the same, it is not done again.
    """
    if not again or plan.stage.name != "train":
        return plan
    material = {**plan.material, "again": again}
    return replace(plan, material=material, key=json_sha256(material))


@dataclass
class RepeatedRun(Run):
    """A run whose training has a number; 0 is that of every other run."""

    again: int = 0

    def execute(self, plan: Plan[R]) -> R:
        return super().execute(numbered(plan, self.again))


class NotKeptError(Exception):
    """A stage would have to run."""


@dataclass
class KeptRun(StatusRun):
    """A run that uses what is kept and computes nothing."""

    again: int = 0

    def execute(self, plan: Plan[R]) -> R:
        return super().execute(numbered(plan, self.again))

    def will_run(self, label: str, why: str) -> Any:
        raise NotKeptError(label)


class LocalRun(Run):
    """A run that computes what is missing on the spot, without Prefect."""

    def execute(self, plan: Plan[R]) -> R:
        record = plan.kept(self.store)
        if record is None:
            with self.store.lock(plan.folder.replace("/", "-")):
                record = plan.compute(self.store, plan.explain(self.store))
                self.store.write_record(plan.record_name, record.model_dump_json(indent=1).encode())
        return plan.stage.output_type.model_validate(record.output)
