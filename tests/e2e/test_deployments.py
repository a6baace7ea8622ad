"""Tests of the deployments with a real Prefect server, a process worker and the command line.

The start takes half a minute, so the tests share one server and each continues from the state that
the previous one left.
"""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
import yaml
from helpers import bars
from helpers.commands import RETRAIN, run_script

from tasks.champion.registry import Champions
from tasks.engine.store import PROJECT, Store
from tasks.runtime.server import free_port

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow]

RETRAINING = "scheduled-retraining/scheduled-retraining"
SILENCE = 35
"""Seconds without a heartbeat after which a run counts as crashed; automations.yaml has 90."""


@dataclass
class Site:
    """A server with a home of its own, and what is needed to talk to it."""

    url: str
    folder: Path
    environment: dict[str, str]

    @property
    def root(self) -> Path:
        return self.folder / "artifacts"

    def prefect(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `prefect …` as `make deploy` does; standard input is closed to questions."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start `prefect …` in a process group of its own; what it says goes to a file."""
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
                cwd=PROJECT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def worker(self, name: str) -> "subprocess.Popen[bytes]":
        return self.start(name, "worker", "start", "--pool", "mnist", "--name", name)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def client(self) -> Any:
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(self.url)

    def run(self, deployment: str, parameters: dict[str, Any]) -> UUID:
        """Ask for a run, as the UI does."""
        with self.client() as client:
            found = client.read_deployment_by_name(deployment)
            run_id: UUID = client.create_flow_run_from_deployment(
                found.id, parameters=parameters
            ).id
            return run_id

    def state(self, run_id: UUID) -> Any:
        with self.client() as client:
            return client.read_flow_run(run_id).state

    def wait(self, run_id: UUID, wanted: Callable[[Any], bool], seconds: float = 120) -> Any:
        """Wait until a run's state is as wanted."""
        until = time.monotonic() + seconds
        while not wanted(state := self.state(run_id)):
            assert time.monotonic() < until, f"{state}\n{self.said('first')}"
            time.sleep(0.5)
        return state

    def artifacts(self, run_id: UUID) -> dict[str, Any]:
        """A run's artifacts by key."""
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

        with self.client() as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
            )
        return {artifact.key: artifact.data for artifact in found}

    def event(self, name: str) -> dict[str, Any]:
        """The one event of a name; the server may take a moment to store it."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with self.client() as client:
                answer = client._client.post(
                    "/events/filter", json={"filter": {"event": {"name": [name]}}}
                )
            if found := answer.json()["events"]:
                (event,) = found
                return dict(event)
            time.sleep(0.5)
        raise AssertionError(f"no event {name}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with an empty database, started as `make server` does."""
    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_API_PORT": str(port),
        # A run that waits for another looks again every few seconds, not every thirty.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    site = Site(url, folder, environment)
    server = site.start("server", "server", "start")
    try:
        until = time.monotonic() + 120
        check = [sys.executable, "-m", "tasks.runtime.server", "check"]
        while subprocess.run(check, env=environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < until, site.said("server")
            assert server.poll() is None, site.said("server")
        yield site
    finally:
        end(server, signal.SIGTERM)


def end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """End a process group that we started."""
    if process.poll() is None:
        os.killpg(process.pid, number)
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def first_worker(site: Site) -> Iterator["subprocess.Popen[bytes]"]:
    """Deploy everything, and start a worker."""
    failed = site.prefect("deploy", "--all", check=False)
    assert failed.returncode == 1
    assert "work pool 'mnist' which does not exist" in " ".join(failed.stdout.split())

    site.prefect("work-pool", "create", "mnist", "--type", "process")
    site.prefect("deploy", "--all")
    automations = yaml.safe_load((PROJECT / "automations.yaml").read_text())
    assert automations["automations"][0]["trigger"]["within"] == 90
    automations["automations"][0]["trigger"]["within"] = SILENCE
    (site.folder / "automations.yaml").write_text(yaml.safe_dump(automations))
    site.prefect("automation", "create", "--from-file", str(site.folder / "automations.yaml"))
    worker = site.worker("first")
    yield worker
    end(worker, signal.SIGKILL)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bars.write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def parameters(site: Site, source: Path) -> Callable[..., dict[str, Any]]:
    """Parameters of a retraining run on the small data set."""

    def make(iterations: int, **retrain: Any) -> dict[str, Any]:
        schedule = {"iterations": iterations, **bars.PARAMETERS["schedule"]}
        settings = {
            **bars.PARAMETERS,
            "schedule": schedule,
            "download": {"source": str(source), "digests": "none"},
            "artifacts": str(site.root),
        }
        return {"settings": settings, "retrain": retrain}

    return make


@pytest.fixture(scope="module")
def promoted(
    site: Site,
    first_worker: "subprocess.Popen[bytes]",
    parameters: Callable[..., dict[str, Any]],
) -> UUID:
    """The first run: it leaves a champion."""
    run_id = site.run(RETRAINING, parameters(150, seed_policy="date"))
    state = site.wait(run_id, lambda state: state.is_final())
    assert state.is_completed(), site.said("first")
    return run_id


def test_deployments_match_prefect_yaml(site: Site, first_worker: object) -> None:
    with site.client() as client:
        retraining = client.read_deployment_by_name(RETRAINING)
        training = client.read_deployment_by_name("mnist-pipeline/train-on-demand")
        scoring = client.read_deployment_by_name("score-batch/score-batch")
    for deployment in (retraining, training, scoring):
        assert "mnist" in deployment.tags
        assert deployment.work_pool_name == "mnist"
        assert deployment.global_concurrency_limit.limit == 1
        assert deployment.concurrency_options.collision_strategy.value == "ENQUEUE"
        (step,) = deployment.pull_steps
        assert step == {
            "prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}
        }
    assert training.schedules == scoring.schedules == []
    form = training.parameter_openapi_schema["definitions"]["TrainingSettings"]["properties"]
    assert form["learning_rate"]["exclusiveMinimum"] == 0
    assert form["learning_rate"]["description"] == "Adam's step size, or its peak."
    assert set(scoring.parameter_openapi_schema["required"]) == {"paths"}


def test_next_run_is_scheduled_for_monday_morning(site: Site, first_worker: object) -> None:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState
    from prefect.client.schemas.filters import FlowRunFilterStateName as Name

    scheduled = FlowRunFilter(state=FlowRunFilterState(name=Name(any_=["Scheduled"])))
    until = time.monotonic() + 60
    while not (runs := read_flow_runs(site, scheduled)):
        assert time.monotonic() < until, site.said("server")
        time.sleep(0.5)
    first = min(run.expected_start_time for run in runs if run.auto_scheduled)
    local = first.astimezone(ZoneInfo("Europe/Copenhagen"))
    assert (local.weekday(), local.hour, local.minute) == (0, 5, 0)
    away = first - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(0) < away <= datetime.timedelta(days=7, hours=1)


def read_flow_runs(site: Site, chosen: Any) -> list[Any]:
    with site.client() as client:
        runs: list[Any] = client.read_flow_runs(flow_run_filter=chosen)
        return runs


def test_invalid_parameters_are_refused_before_a_run_is_created(
    site: Site, first_worker: object
) -> None:
    wrong = json.dumps({"settings": {"training": {"learning_rate": -1}}})
    done = site.prefect(
        "deployment", "run", "mnist-pipeline/train-on-demand", "--params", wrong, check=False
    )
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "learning_rate" in said
    assert "-1 is less than or equal to the minimum of 0" in said
    assert "Traceback" not in said


def test_run_by_a_worker_promotes_a_champion(site: Site, promoted: UUID) -> None:
    champion = Champions(Store(site.root)).find().champion
    assert champion
    assert champion.by.endswith("(deployment scheduled-retraining)")
    assert champion.facts.settings["training"]["seed"] == int(f"{site_date(site, promoted):%Y%m%d}")
    artifacts = site.artifacts(promoted)
    assert artifacts.keys() >= {"mnist-report", "mnist-confusion-matrix", "retraining-decision"}
    assert artifacts["retraining-decision"].startswith("# Promoted")
    assert f"`{champion.id}`" in artifacts["retraining-decision"]
    event = site.event("mnist.champion.promoted")
    assert event["resource"]["prefect.resource.id"] == "mnist.champion"
    assert event["payload"]["champion"] == champion.id
    assert f"prefect.flow-run.{promoted}" in {r["prefect.resource.id"] for r in event["related"]}


def site_date(site: Site, run_id: UUID) -> datetime.datetime:
    with site.client() as client:
        date: datetime.datetime = client.read_flow_run(run_id).expected_start_time
        return date


def test_log_lines_of_the_worker_reach_the_server(site: Site, promoted: UUID) -> None:
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    with site.client() as client:
        logs = client._client.post(
            "/logs/filter",
            json={
                "logs": LogFilter(flow_run_id=LogFilterFlowRunId(any_=[promoted])).model_dump(
                    mode="json", exclude_unset=True
                )
            },
        ).json()
    lines = {log["message"] for log in logs}
    assert any(line.startswith("retraining: promoted: ") for line in lines)
    assert any(line.startswith("Optimization Iteration:    101, Training") for line in lines)


def test_run_with_a_killed_process_is_reported_as_crashed_by_its_worker(
    site: Site, first_worker: "subprocess.Popen[bytes]", promoted: UUID
) -> None:
    pipe = site.folder / "pipe"  # without a writer, so that a reader blocks
    os.mkfifo(pipe)
    settings = {"artifacts": str(site.root)}
    run_id = site.run("score-batch/score-batch", {"paths": [str(pipe)], "settings": settings})
    site.wait(run_id, lambda state: state.is_running(), 60)
    for process in processes_of(site):
        if process != first_worker.pid:
            os.kill(process, signal.SIGKILL)
    state = site.wait(run_id, lambda state: state.is_final(), 60)
    assert state.is_crashed(), site.said("first")
    until = time.monotonic() + 60
    while "flow-failure" not in (artifacts := site.artifacts(run_id)):
        assert time.monotonic() < until, site.said("first")
        time.sleep(0.5)
    assert artifacts["flow-failure"].startswith("# score-batch: crashed\nProcess exited with st")


def test_run_of_a_killed_worker_is_marked_crashed_and_the_next_run_resumes(
    site: Site,
    promoted: UUID,
    first_worker: "subprocess.Popen[bytes]",
    parameters: Callable[..., dict[str, Any]],
) -> None:
    long = parameters(20_001, alpha=1e-300, margin=1)
    killed = site.run(RETRAINING, long)
    saved = site.root / "train"
    until = time.monotonic() + 90
    while not [*saved.glob(".*.partial/*.safetensors")]:
        assert time.monotonic() < until, site.said("first")
        time.sleep(0.1)
    processes = processes_of(site)
    assert len(processes) >= 2, "the worker, and the run's own process"
    for process in processes:
        os.kill(process, signal.SIGKILL)
    first_worker.wait(timeout=10)
    assert site.state(killed).is_running(), "no process was left to report it"

    second = site.worker("second")
    try:
        # The crashed run still holds the only concurrency slot.
        waiting = site.run(RETRAINING, long)
        site.wait(waiting, lambda state: state.name == "AwaitingConcurrencySlot", 60)
        assert site.state(killed).is_running()
        images = site.run("score-batch/score-batch", scoring(site, long))
        # Meanwhile, a run from the command line: a learning rate of 1 gives a bad model.
        before = Champions(Store(site.root)).current_name()
        done = run_script(
            RETRAIN,
            *arguments_of(long, iterations=20, learning_rate=1.0),
            PREFECT_API_URL=site.url,
        )
        assert done.code == 0, done.lines
        assert done.lines[-2].startswith("retraining: kept: significantly worse: ")
        assert Champions(Store(site.root)).current_name() == before
        event = site.event("mnist.champion.kept")
        assert event["payload"]["champion"] == before

        scored = site.wait(images, lambda state: state.is_final())
        assert scored.is_failed(), "one of the files is invalid"
        artifacts = site.artifacts(images)
        assert f"200 images scored with champion {before}: " in artifacts["scores"]
        assert "- /nowhere: no such file or folder" in artifacts["scores"]
        assert "1 input was left out; the others are scored" in artifacts["flow-failure"]
        assert pq.read_metadata(site.folder / "scores.parquet").num_rows == 200

        crashed = site.wait(killed, lambda state: state.is_final())
        assert crashed.is_crashed()
        assert "No heartbeat" in crashed.message
        state = site.wait(waiting, lambda state: state.is_final())
        assert state.is_completed(), site.said("second")
        assert "resumed at iteration" in site.said("second")
        assert site.artifacts(waiting)["retraining-decision"].startswith("# Promoted")
        for name in ("first", "second"):
            assert "Traceback" not in site.said(name), site.said(name)
    finally:
        end(second, signal.SIGTERM)


def scoring(site: Site, parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for scoring the test images, and a file that is not there."""
    source = parameters["settings"]["download"]["source"]
    settings = {"artifacts": str(site.root), "out": str(site.folder / "scores.parquet")}
    return {"paths": [f"{source}/t10k-images-idx3-ubyte", "/nowhere"], "settings": settings}


def processes_of(site: Site) -> list[int]:
    """The site's processes but for its server, told by their environment."""
    mark = f"PREFECT_HOME={site.folder / 'home'}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (folder / "environ").read_bytes()
            if ours and b"\0server\0" not in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def arguments_of(
    parameters: dict[str, Any], iterations: int, learning_rate: float
) -> tuple[str, ...]:
    """The same run for the command line, but for a few settings."""
    settings = parameters["settings"]
    return (
        *bars.OPTIONS[:-6],
        *("--test-images", "0", "--conv2-channels", "0"),
        *("--learning-rate", str(learning_rate), "--iterations", str(iterations)),
        *("--source", settings["download"]["source"], "--digests", "none"),
        *("--artifacts", settings["artifacts"]),
    )
