"""Tests of the deployments with a real Prefect server, a process worker and the command line.

The start takes half a minute, so the tests share one server and each continues from the state that
the previous one left.
"""

import datetime
import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import bars
from helpers.commands import RETRAIN, run_script
from helpers.form import UIS, submit_form
from helpers.site import RETRAINING, SCORING, Process, Site, copy_project, open_site
from playwright.sync_api import Browser

from tasks.champion.registry import Champions
from tasks.data import idx
from tasks.engine.store import PROJECT, Store
from tasks.runtime.deploy import RETIRED
from tasks.settings import Settings
from tasks.settings.form import FormSettings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow]

TRAINING = "mnist-pipeline/train-on-demand"
SILENCE = 35
"""Seconds without a sign of life after which a run has crashed; 90 by default."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with an empty database, started as `make server` does."""
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def told(site: Site) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook's address, and what it is told."""
    messages: list[dict[str, Any]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.loads(body) | {"type": self.headers["Content-Type"]})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?token=secret", messages
    server.shutdown()


def wait_for_message(messages: list[dict[str, Any]], text: str, seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (found := [message for message in messages if message["text"].startswith(text)]):
        assert time.monotonic() < until, messages
        time.sleep(0.3)
    return found[0]


@pytest.fixture(scope="module")
def first_worker(site: Site, told: tuple[str, Any]) -> Process:
    """Deploy everything, and start a worker."""
    done = site.deploy(MNIST_WEBHOOK_URL=told[0])
    assert "created automation: MNIST tells a webhook" in done.stdout
    assert "secret" not in done.stdout
    return site.start_worker("first", SILENCE)


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
    first_worker: Process,
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
        training = client.read_deployment_by_name(TRAINING)
        scoring = client.read_deployment_by_name(SCORING)
    for deployment in (retraining, training, scoring):
        assert "mnist" in deployment.tags
        assert deployment.work_pool_name == "mnist"
        assert deployment.work_queue_name == deployment.name
        assert deployment.global_concurrency_limit is None
        (step,) = deployment.pull_steps
        assert step == {
            "prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}
        }
    assert training.schedules == scoring.schedules == []
    form = training.parameter_openapi_schema["definitions"]["FormSettings"]["properties"]
    assert form["learning_rate"]["exclusiveMinimum"] == 0
    assert form["learning_rate"]["description"].startswith(
        "The optimizer's step size, or its peak."
    )
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


def deployed(site: Site) -> dict[str, int]:
    """How much there is on the server."""
    with site.client() as client:
        counts = {
            name: len(client._client.post(f"/{name}/filter", json={}).json())
            for name in (
                "deployments",
                "work_pools",
                "work_queues",
                "automations",
                "block_documents",
            )
        }
        schedules = client.read_deployment_by_name(RETRAINING).schedules
    return {**counts, "schedules": len(schedules)}


def test_second_deployment_updates_edited_parts_only(
    site: Site, first_worker: object, tmp_path: Path
) -> None:
    from prefect.client.schemas.actions import DeploymentUpdate
    from prefect.events.schemas.automations import AutomationCore

    before = deployed(site)
    with site.client() as client:
        retraining = client.read_deployment_by_name(RETRAINING)
        client.update_deployment_schedule(retraining.id, retraining.schedules[0].id, active=False)
        queue = client.read_work_queue_by_name("score-batch", work_pool_name="mnist")
        client.update_work_queue(queue.id, concurrency_limit=3)
        (automation,) = client.read_automations()
        client.pause_automation(automation.id)
        # As an earlier version left them.
        client.update_deployment(retraining.id, DeploymentUpdate(concurrency_limit=1))
        retired = automation.model_copy(update={"name": RETIRED[0]})
        client.create_automation(AutomationCore.model_validate(retired.model_dump()))
    project = copy_project(tmp_path / "project")
    for name, old, new in (
        ("prefect.yaml", "Trains and reports,", "Trains, reports,"),
        ("prefect.yaml", 'cron: "0 5 * * 1"', 'cron: "0 6 * * 1"'),
        ("automations.yaml", "description: Sends", "description: Edited. Sends"),
    ):
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))
    try:
        done = site.deploy(project=project)
        assert "updated automation: MNIST tells a webhook (paused)" in done.stdout
        assert f"removed automation: {RETIRED[0]}" in done.stdout
        assert deployed(site) == before
        with site.client() as client:
            assert client.read_deployment(retraining.id).global_concurrency_limit is None
            assert "Trains, reports," in client.read_deployment_by_name(TRAINING).description
            (schedule,) = client.read_deployment_by_name(RETRAINING).schedules
            assert (schedule.active, schedule.schedule.cron) == (False, "0 6 * * 1")
            queue = client.read_work_queue_by_name("score-batch", work_pool_name="mnist")
            assert queue.concurrency_limit == 3
            (automation,) = client.read_automations()
            assert automation.description.startswith("Edited. ")
            assert not automation.enabled
            client.resume_automation(automation.id)
    finally:
        site.deploy()
    assert deployed(site) == before


def test_invalid_parameters_are_refused_before_a_run_is_created(
    site: Site, first_worker: object
) -> None:
    wrong = json.dumps({"settings": {"learning_rate": -1}})
    done = site.prefect("deployment", "run", TRAINING, "--params", wrong, check=False)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "learning_rate" in said
    assert "-1 is less than or equal to the minimum of 0" in said
    assert "Traceback" not in said


def test_run_by_a_worker_promotes_a_champion(site: Site, promoted: UUID) -> None:
    champion = Champions(Store(site.root)).current()
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

    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[promoted]))
    missing = {"retraining: promoted: ", "Optimization Iteration:    101, Training"}
    until = time.monotonic() + 30  # they are sent in batches
    while missing:
        assert time.monotonic() < until, missing
        with site.client() as client:
            lines = [log.message for log in client.read_logs(chosen)]
        missing = {text for text in missing if not any(line.startswith(text) for line in lines)}


def test_webhook_is_told_of_a_promotion(
    told: tuple[str, list[dict[str, Any]]], promoted: UUID
) -> None:
    message = wait_for_message(told[1], "MNIST: promoted: no champion yet, and ")
    assert message["event"] == "mnist.champion.promoted"
    assert message["payload"]["champion"].startswith("0001-")
    assert message["type"] == "application/json"


@contextmanager
def nothing_started(site: Site) -> Iterator[None]:
    """Pause the queue of runs on demand."""
    with site.client() as client:
        queue = client.read_work_queue_by_name("train-on-demand", work_pool_name="mnist")
        client.update_work_queue(queue.id, is_paused=True)
        yield
        client.update_work_queue(queue.id, is_paused=False)


def take_parameters(site: Site, run: UUID) -> dict[str, Any]:
    """Return the settings that a form gave a run, and delete the run."""
    with site.client() as client:
        values: dict[str, Any] = client.read_flow_run(run).parameters["settings"]
        client.delete_flow_run(run)
    return values


def given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize("ui", UIS)
def test_fields_of_the_form_become_settings(
    site: Site, first_worker: object, browser: Browser, source: Path, ui: str
) -> None:
    first = {"Source": str(source), "Iterations": "30"}
    with nothing_started(site):
        untouched = submit_form(site, browser, ui, TRAINING, "best", {}, {})
        filled = submit_form(site, browser, ui, TRAINING, "fast", first, {"Digests": "none"})
        values = take_parameters(site, untouched)
        assert FormSettings.model_validate(values).settings() == Settings(preset="best")
        assert given(take_parameters(site, filled)) == {
            **{"preset": "fast", "source": str(source), "iterations": 30},
            "more": {"digests": "none"},
        }


@pytest.mark.proof
def test_preset_chosen_in_the_form_is_trained(
    site: Site, promoted: UUID, browser: Browser, source: Path, tmp_path: Path
) -> None:
    root = tmp_path / "artifacts"
    more = {"Digests": "none", "Artifacts": str(root)}
    run = submit_form(site, browser, "v2", TRAINING, "fast", {"Source": str(source)}, more)
    state = site.wait_until_final(run)
    assert state.is_completed(), site.said("first")
    settings = json.loads((root / "latest/report/metrics.json").read_text())["settings"]
    assert settings["schedule"]["iterations"] == 450
    assert settings["training"]["learning_rate"] == 1e-2
    assert settings["training"]["rate_schedule"] == "one-cycle"


@pytest.mark.proof
def test_run_with_a_killed_process_is_reported_as_crashed_by_its_worker(
    site: Site, first_worker: Process, promoted: UUID, told: tuple[str, list[dict[str, Any]]]
) -> None:
    images = site.folder / "many-images"
    images.write_bytes(idx.dumps(np.zeros((500_000, 8, 8), np.uint8)))
    settings = {"artifacts": str(site.root), "batch": 1}  # takes minutes
    run_id = site.run(SCORING, {"paths": [str(images)], "settings": settings})
    site.wait(run_id, lambda state: state.is_running(), 60)
    for process in site.run_processes():
        os.kill(process, signal.SIGKILL)
    state = site.wait(run_id, lambda state: state.is_final(), 60)
    assert state.is_crashed(), site.said("first")
    reason = site.wait_for_artifact(run_id, "flow-failure")
    assert reason.startswith("# score-batch: crashed\nProcess exited with st")
    message = wait_for_message(told[1], "MNIST: crashed: Process exited with st")
    assert message["event"] == "mnist.run.crashed"
    assert message["payload"]["flow"] == "score-batch"


@pytest.mark.proof
def test_run_of_a_killed_worker_is_marked_crashed_and_the_next_run_resumes(
    site: Site,
    promoted: UUID,
    first_worker: Process,
    parameters: Callable[..., dict[str, Any]],
) -> None:
    long = parameters(20_001, alpha=1e-300, margin=1)
    killed = site.run(RETRAINING, long)
    saved = site.root / "train"
    until = time.monotonic() + 90
    while not [*saved.glob(".*.partial/*.safetensors")]:
        assert time.monotonic() < until, site.said("first")
        time.sleep(0.1)
    assert site.run_processes(), "the run's own process"
    site.kill("first")
    assert site.state(killed).is_running(), "no process was left to report it"

    site.start_worker("second", SILENCE)
    try:
        # The crashed run still holds the only concurrency slot.
        waiting = site.run(RETRAINING, long)
        site.wait(waiting, lambda state: state.name == "Late", 60)
        assert site.state(killed).is_running()
        images = site.run(SCORING, scoring(site, long))
        # Meanwhile, a run from the command line: a learning rate of 1 gives a bad model.
        done = run_script(
            RETRAIN,
            *arguments_of(long, iterations=20, learning_rate=1.0),
            PREFECT_API_URL=site.url,
        )
        assert done.code == 0, done.lines
        assert done.lines[-2].startswith("retraining: kept: significantly worse: ")
        # On a slow machine, the waiting run has promoted another champion by now.
        event = site.event("mnist.champion.kept")
        assert done.last == f"champion: {event['payload']['champion']}"

        scored = site.wait(images, lambda state: state.is_final())
        assert scored.is_failed(), "one of the files is invalid"
        artifacts = site.artifacts(images)
        assert artifacts["scores"].startswith("200 pictures scored with champion ")
        assert "- /nowhere: " in artifacts["scores"]
        assert "1 input was left out" in artifacts["flow-failure"]
        assert pq.read_metadata(site.folder / "scores.parquet").num_rows == 200

        crashed = site.wait(killed, lambda state: state.is_final())
        assert crashed.is_crashed()
        assert "without a sign of life" in crashed.message
        state = site.wait(waiting, lambda state: state.is_final())
        assert state.is_completed(), site.said("second")
        assert "resumed at iteration" in site.said("second")
        assert site.artifacts(waiting)["retraining-decision"].startswith("# Promoted")
        for name in ("first", "second"):
            assert "Traceback" not in site.said(name), site.said(name)
    finally:
        site.end("second")


def scoring(site: Site, parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for scoring the test images, and a file that is not there."""
    source = parameters["settings"]["download"]["source"]
    settings = {"artifacts": str(site.root), "out": str(site.folder / "scores.parquet")}
    return {"paths": [f"{source}/t10k-images-idx3-ubyte", "/nowhere"], "settings": settings}


def arguments_of(
    parameters: dict[str, Any], iterations: int, learning_rate: float
) -> tuple[str, ...]:
    """The same run for the command line, but for a few settings."""
    settings = parameters["settings"]
    return (
        *(*bars.NETWORK, *bars.TRAINING, *bars.FIGURES),
        *("--learning-rate", str(learning_rate), "--iterations", str(iterations)),
        *("--source", settings["download"]["source"], "--digests", "none"),
        *("--artifacts", settings["artifacts"]),
    )


@pytest.mark.proof
def test_runs_of_a_power_cut_crash_and_the_next_run_completes(
    site: Site, promoted: UUID, parameters: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Server and worker are killed while one run starts and another waits for its next try."""
    site.end("first")  # otherwise it may start the run's process after the power cut
    site.start_worker("third", SILENCE)
    more = {"digests": "none", "artifacts": str(site.root)}
    missing = {"source": str(tmp_path / "missing"), "more": more}
    waiting = site.run(TRAINING, {"settings": missing}, retry=True)
    site.wait(waiting, lambda state: state.name == "AwaitingRetry", 60)
    starting = site.run(RETRAINING, parameters(150))
    site.wait(starting, lambda state: state.is_pending(), 60)
    site.kill("third", "server")

    site.start_server()
    site.start_worker("third", SILENCE)
    following = site.run(RETRAINING, parameters(150))
    assert site.wait_until_final(starting).is_crashed()
    reason = site.wait_for_artifact(starting, "flow-failure")
    assert reason.startswith("# scheduled-retraining: crashed\n")
    # The worker may still have reported the end of the run's process.
    assert "without a sign of life for 35 s" in reason or "SIGKILL" in reason
    # The next try may be due before the silence is over; it fails, as the first one did.
    state = site.wait_until_final(waiting)
    assert state.is_crashed() or state.is_failed()
    reason = site.wait_for_artifact(waiting, "flow-failure")
    assert reason.startswith("# mnist-pipeline: ")
    assert site.wait_until_final(following).is_completed(), site.said("third")


@pytest.mark.proof
def test_run_goes_on_while_the_server_restarts(
    site: Site, promoted: UUID, parameters: Callable[..., dict[str, Any]]
) -> None:
    if "third" not in site.running:  # without the test before this one
        site.start_worker("third", SILENCE)
    saved = set(site.root.glob("train/.*.partial"))
    run = site.run(RETRAINING, parameters(5_002, alpha=1e-300, margin=1))
    until = time.monotonic() + 90
    while set(site.root.glob("train/.*.partial")) <= saved:
        assert time.monotonic() < until, site.said("third")
        time.sleep(0.1)
    site.kill("server")
    site.start_server()
    assert site.wait_until_final(run).is_completed(), site.said("third")
    with site.client() as client:
        assert client.read_flow_run(run).run_count == 1
