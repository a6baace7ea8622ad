"""Deaths of server, worker and runs in every state: real processes, SIGKILL; for `make proofs`.

Each case ends with a new run that must complete. The last test prints the table: case, outcome,
seconds from the end of the outage to the end of the new run.
"""

import datetime
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from helpers import bars
from helpers.site import RETRAINING, RETRY_DELAY, Site, copy_project, open_site

from tasks.champion.registry import Champions
from tasks.engine.store import Store

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow, pytest.mark.proof]

SILENCE = 35
"""Seconds without a sign of life after which a run has crashed; 90 by default. Heartbeats come
every 30 s, which is the least that Prefect allows."""


@dataclass
class Outages:
    """A site with a champion, and the table of what happened to it."""

    site: Site
    source: Path
    rows: list[tuple[str, str, float]] = field(default_factory=list)
    iterations: int = 15_000
    """Iterations of the last training; each trains for one more, so that nothing is cached."""
    since: float = 0.0
    """End of the last outage (monotonic)."""

    def parameters(self, iterations: int = 150, source: Path | None = None) -> dict[str, Any]:
        """Parameters of retraining; with 150 iterations, all is cached."""
        settings = {
            **bars.PARAMETERS,
            "schedule": {"iterations": iterations, "milestones": [0]},
            "download": {"source": str(source or self.source), "digests": "none"},
            "artifacts": str(self.site.root),
        }
        return {"settings": settings, "retrain": {"alpha": 1e-300, "margin": 1}}

    def kill(self, killed: str, pause: float = 0.0) -> None:
        """Kill server, worker or both, wait, and start them again."""
        names = [name for name in ("first", "server") if killed in (name, "both")]
        self.site.kill(*names)
        time.sleep(pause)
        if "server" in names:
            self.site.start_server()
        if "first" in names:
            self.site.start_worker(silence=SILENCE)
        self.since = time.monotonic()

    def next_run_completes(self, case: str, victim: UUID | None = None) -> str:
        """Run again, expect it to complete, and write a row of the table with the victim's end."""
        # Asked for at once: it must not wait for ever for the victim's place.
        run = self.site.run(RETRAINING, self.parameters())
        state = self.site.wait_until_final(run)
        assert state.is_completed(), f"{state}\n{self.site.said('first')}"
        seconds = time.monotonic() - self.since
        outcome = self.site.wait_until_final(victim).name if victim else "forgotten"
        self.rows.append((case, outcome, seconds))
        return str(outcome)


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    folder = tmp_path_factory.mktemp("outages")
    with open_site(folder / "site") as site:
        site.deploy()
        site.start_worker(silence=120)
        outages = Outages(site, bars.write(folder / "source"))
        run = site.run(RETRAINING, outages.parameters())
        assert site.wait_until_final(run).is_completed(), site.said("first")
        site.end("first")
        site.start_worker(silence=SILENCE)
        yield outages


State = Callable[[Outages, Path], UUID]


def scheduled(outages: Outages, tmp_path: Path) -> UUID:
    """A run that is due in some seconds."""
    from prefect.states import Scheduled

    due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=20)
    with outages.site.client() as client:
        found = client.read_deployment_by_name(RETRAINING)
        run: UUID = client.create_flow_run_from_deployment(
            found.id, parameters=outages.parameters(), state=Scheduled(scheduled_time=due)
        ).id
    return run


def pending(outages: Outages, tmp_path: Path) -> UUID:
    """A run whose process is starting."""
    run = outages.site.run(RETRAINING, outages.parameters())
    outages.site.wait(run, lambda state: state.is_pending(), 60)
    return run


def training(outages: Outages, tmp_path: Path) -> UUID:
    """A run that trains and has saved something."""
    saved = set(outages.site.root.glob("train/.*.partial/*.safetensors"))
    outages.iterations += 1
    run = outages.site.run(RETRAINING, outages.parameters(outages.iterations))
    until = time.monotonic() + 90
    while set(outages.site.root.glob("train/.*.partial/*.safetensors")) <= saved:
        assert time.monotonic() < until, outages.site.said("first")
        time.sleep(0.1)
    return run


def awaiting_retry(outages: Outages, tmp_path: Path) -> UUID:
    """A run that has failed once, since its source is missing."""
    missing = outages.parameters(source=tmp_path / "missing")
    run = outages.site.run(RETRAINING, missing, retry=True)
    outages.site.wait(run, lambda state: state.name == "AwaitingRetry", 60)
    return run


def cancelling(outages: Outages, tmp_path: Path) -> UUID:
    """A run that somebody has just cancelled in the UI."""
    from prefect.states import Cancelling

    run = training(outages, tmp_path)
    with outages.site.client() as client:
        client.set_flow_run_state(run, Cancelling())
    return run


EXPECTED = {
    (scheduled, "first"): {"Completed"},
    (scheduled, "server"): {"Completed"},
    (scheduled, "both"): {"Completed"},
    (pending, "first"): {"Crashed"},
    # Its process may start before or after the server is back.
    (pending, "server"): {"Completed", "Crashed"},
    (pending, "both"): {"Crashed"},
    (training, "first"): {"Crashed"},
    (training, "server"): {"Completed"},
    (training, "both"): {"Crashed"},
    (awaiting_retry, "first"): {"Crashed"},
    (awaiting_retry, "server"): {"Failed"},  # after its last try
    (awaiting_retry, "both"): {"Crashed"},
    (cancelling, "first"): {"Cancelled"},
    (cancelling, "server"): {"Cancelled"},
    (cancelling, "both"): {"Cancelled"},
}


@pytest.mark.parametrize(
    ("state", "killed"), EXPECTED, ids=lambda part: getattr(part, "__name__", part)
)
def test_killed(outages: Outages, tmp_path: Path, state: State, killed: str) -> None:
    victim = state(outages, tmp_path)
    outages.kill(killed)
    case = f"{state.__name__} × {'worker' if killed == 'first' else killed} killed"
    assert outages.next_run_completes(case, victim) in EXPECTED[state, killed]


@pytest.mark.parametrize(("killed", "expected"), [("server", "Completed"), ("both", "Crashed")])
def test_back_after_a_minute(outages: Outages, tmp_path: Path, killed: str, expected: str) -> None:
    victim = training(outages, tmp_path)
    outages.kill(killed, pause=60)
    case = f"training × {killed} killed, back after a minute"
    assert outages.next_run_completes(case, victim) == expected


def test_worker_killed_alone(outages: Outages, tmp_path: Path) -> None:
    """The run crashes with its next line to the worker's terminal; it has saved what it trained."""
    victim = training(outages, tmp_path)
    worker = outages.site.running.pop("first")
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=10)
    outages.site.start_worker(silence=SILENCE)
    outages.since = time.monotonic()
    case = "training × worker killed, not the run"
    assert outages.next_run_completes(case, victim) == "Crashed"


def test_cancelled_then_run_again(outages: Outages, tmp_path: Path) -> None:
    from prefect.states import Scheduled

    site = outages.site
    victim = cancelling(outages, tmp_path)
    site.wait(victim, lambda state: state.is_cancelled())
    until = time.monotonic() + 60
    while site.run_processes():
        assert time.monotonic() < until, "the cancelled run's process is still there"
        time.sleep(0.5)
    outages.since = time.monotonic()
    with site.client() as client:
        client.set_flow_run_state(victim, Scheduled())  # "Retry" in the UI
    assert outages.next_run_completes("cancelled, then run again", victim) == "Completed"
    assert "resumed at iteration" in site.said("first")


def test_stopped_longer_than_the_silence(outages: Outages, tmp_path: Path) -> None:
    site = outages.site
    victim = training(outages, tmp_path)
    stopped = site.run_processes()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    assert site.wait_until_final(victim).is_crashed()
    following = site.run(RETRAINING, outages.parameters(outages.iterations), retry=True)
    site.wait(following, lambda state: state.is_running())
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    outages.since = time.monotonic()
    assert site.wait_until_final(following).is_completed()
    # It goes on to its end; its promotion came second, or it found its own model in use.
    site.wait(victim, lambda state: state.is_failed() or state.is_completed())
    models = [champion.short_digest for champion in Champions(Store(site.root)).champions()]
    assert models.count(models[-1]) == 1, "a model was promoted twice"
    outages.next_run_completes("process stopped for longer than the silence", victim)


def test_flow_file_does_not_load(outages: Outages, tmp_path: Path) -> None:
    """A checkout whose flow file is broken when a run is due."""
    from prefect.client.schemas.actions import DeploymentUpdate

    site = outages.site
    broken = copy_project(tmp_path / "project")
    (broken / "flows/retrain.py").write_text("this is no Python\n")
    step = {"prefect.deployments.steps.set_working_directory": {"directory": str(broken)}}
    with site.client() as client:
        deployment = client.read_deployment_by_name(RETRAINING)
        client.update_deployment(deployment.id, DeploymentUpdate(pull_steps=[step]))
    victim = site.run(RETRAINING, outages.parameters())
    assert not site.wait_until_final(victim).is_completed()
    assert site.running["first"].poll() is None, "the worker lives"
    site.deploy()
    outages.since = time.monotonic()
    outages.next_run_completes("flow file does not load", victim)


def test_emptied_database(outages: Outages, tmp_path: Path) -> None:
    site = outages.site
    training(outages, tmp_path)
    site.kill("server")
    for file in (site.folder / "home").glob("prefect.db*"):
        file.unlink()
    site.start_server()
    site.deploy()
    outages.since = time.monotonic()
    outages.next_run_completes("training × server killed, database emptied")


def test_the_table(outages: Outages) -> None:
    print()
    for case, outcome, seconds in outages.rows:
        print(f"| {case} | {outcome} | {seconds:.0f} |")
    assert outages.rows
    assert RETRY_DELAY < SILENCE
