"""Seven scheduled runs in minutes: server, worker and command line; for `make proofs`."""

import datetime
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from helpers import bars
from helpers.commands import RETRAIN, run_script
from helpers.site import RETRAINING, Site, open_site

from tasks.champion.registry import Champions
from tasks.engine.store import Store

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow, pytest.mark.proof]

MONDAY = datetime.datetime(2026, 3, 2, 5, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("week")) as site:
        site.deploy()
        site.start_worker(silence=60)
        yield site


class Week:
    """A deployment whose runs are due on seven Mondays, one after the other."""

    def __init__(self, site: Site, source: Path) -> None:
        self.site = site
        self.source = source
        self.number = 0

    def start(self, iterations: int, learning_rate: float = 0.01) -> UUID:
        """Schedule a run for the next Monday."""
        from prefect.states import Scheduled

        settings = {
            **bars.PARAMETERS,
            "schedule": {"iterations": iterations, "milestones": [0]},
            "training": {"batch_size": 16, "learning_rate": learning_rate},
            "download": {"source": str(self.source), "digests": "none"},
            "artifacts": str(self.site.root),
        }
        retrain = {"seed_policy": "date", "floor": 0.2, "margin": 0.05}
        due = MONDAY + datetime.timedelta(weeks=self.number)
        self.number += 1
        with self.site.client() as client:
            deployment = client.read_deployment_by_name(RETRAINING)
            run_id: UUID = client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"settings": settings, "retrain": retrain},
                state=Scheduled(scheduled_time=due),
            ).id
            return run_id

    def decision(self, run: UUID) -> str:
        """The first two paragraphs of a run's decision."""
        state = self.site.wait_until_final(run, 240)
        assert state.is_completed(), f"{state}\n{self.site.said('first')}"
        return " ".join(self.site.wait_for_artifact(run, "retraining-decision").split("\n\n")[:2])

    def history(self) -> list[str]:
        done = run_script(RETRAIN, "history", "--artifacts", self.site.root)
        assert done.code == 0, done.lines
        return done.lines

    def current(self) -> Any:
        champion = Champions(Store(self.site.root)).current()
        assert champion
        return champion


def test_a_week_in_minutes(site: Site, tmp_path: Path) -> None:
    week = Week(site, bars.write(tmp_path / "source"))

    weak = week.start(iterations=40, learning_rate=0.001)
    assert week.decision(weak).startswith("# Promoted No champion yet, and ")
    first = week.current()
    assert first.facts.settings["training"]["seed"] == 20260302

    bars.write(week.source, seed=10)  # the source has changed
    changed = week.start(iterations=200)
    assert week.decision(changed).startswith("# Promoted Better: ")
    decision = site.wait_for_artifact(changed, "retraining-decision")
    assert "**The data have changed**: 100.0" in decision
    second = week.current()
    assert second.facts.data.splits.validation != first.facts.data.splits.validation
    assert second.facts.settings["training"]["seed"] == 20260309

    decision = week.decision(week.start(iterations=1))
    assert decision.startswith("# Kept Significantly worse: ")
    assert f"Champion in use: `{second.id}`." in decision

    crashed = week.start(iterations=30_000)
    until = time.monotonic() + 90
    while not [*site.root.glob("train/.*.partial/*.safetensors")]:
        assert time.monotonic() < until, site.said("first")
        time.sleep(0.1)
    for pid in site.run_processes():
        os.kill(pid, signal.SIGKILL)
    assert site.wait_until_final(crashed).is_crashed()
    assert week.current() == second

    done = run_script(RETRAIN, "rollback", "--artifacts", site.root)
    assert done.code == 0, done.lines
    third = week.current()
    assert third.short_digest == first.short_digest

    # Worse than the one that was withdrawn, which counts no more; better than the one in use.
    assert week.decision(week.start(iterations=400)).startswith("# Promoted B")
    fourth = week.current()

    assert week.decision(week.start(iterations=2)).startswith("# Kept Significantly worse: ")
    decision = week.decision(week.start(iterations=800))
    assert decision.startswith(("# Promoted Better: ", "# Promoted Not worse: "))
    assert week.number == 7

    lines = week.history()
    kept = r"- [0-9]{4}-[0-9a-f]{12}  \S+  .*kept out by flow run .*: significantly worse: "
    expected = [
        rf"  {first.id}  \S+  .*promoted by flow run .* \(deployment scheduled-retraining\): no ch",
        rf"  {second.id}  \S+  .*promoted by .*: better: ",
        kept,
        rf"  {third.id}  \S+  .*rolled back by .*: rolled back from {second.id} to {first.id}",
        rf"  {fourth.id}  \S+  .*promoted by .*: better: ",
        kept,
        rf"\* {week.current().id}  \S+  .*promoted by .*: (better|not worse): ",
    ]
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.match(pattern, line), line
    print("\n" + "\n".join(lines))
