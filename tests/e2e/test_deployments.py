"""Tests of the deployments with a real Prefect server, a process worker and the command line.

The start takes half a minute, so the tests share one server and each continues from the state that
the previous one left.
"""

import datetime
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from helpers import bars
from helpers.form import UIS, submit_form
from helpers.site import RETRAINING, SCORING, Process, Site, copy_project, open_site
from playwright.sync_api import Browser

from tasks.champion.registry import Champions
from tasks.engine.store import PROJECT, Store
from tasks.settings import Settings
from tasks.settings.form import FormSettings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow]

TRAINING = "mnist-pipeline/train-on-demand"
QUEUE = {"work_pool_name": "mnist"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with an empty database, started as `make server` does."""
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site


Told = tuple[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def told(site: Site) -> Iterator[Told]:
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


def wait_for_message(messages: list[dict[str, Any]], text: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while not (found := [message for message in messages if message["text"].startswith(text)]):
        assert time.monotonic() < until, messages
        time.sleep(0.3)
    return found[0]


@pytest.fixture(scope="module")
def worker(site: Site, told: Told) -> Process:
    """Deploy everything, and start a worker."""
    done = site.deploy(MNIST_WEBHOOK_URL=told[0])
    assert "created automation: MNIST tells a webhook of decisions" in done.stdout
    assert "created automation: MNIST tells a webhook of failures" in done.stdout
    assert "secret" not in done.stdout
    return site.start_worker("first")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bars.write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def promoted(site: Site, worker: Process, source: Path) -> UUID:
    """The first run: it leaves a champion."""
    settings = {
        **bars.PARAMETERS,
        "schedule": {"iterations": 150, **bars.PARAMETERS["schedule"]},
        "download": {"source": str(source), "digests": "none"},
        "artifacts": str(site.root),
    }
    parameters = {"settings": settings, "retrain": {"seed_policy": "date"}}
    run_id = site.run(RETRAINING, parameters)
    assert site.wait_until_final(run_id).is_completed(), site.said("first")
    return run_id


def test_deployments_match_prefect_yaml(site: Site, worker: Process) -> None:
    with site.client() as client:
        retraining, training, scoring = map(
            client.read_deployment_by_name, (RETRAINING, TRAINING, SCORING)
        )
    step = {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}
    for deployment in (retraining, training, scoring):
        assert "mnist" in deployment.tags
        assert deployment.work_pool_name == "mnist"
        assert deployment.work_queue_name == deployment.name
        assert deployment.pull_steps == [step]
    assert training.schedules == scoring.schedules == []
    form = training.parameter_openapi_schema["definitions"]["FormSettings"]["properties"]
    assert form["learning_rate"]["exclusiveMinimum"] == 0
    assert set(scoring.parameter_openapi_schema["required"]) == {"paths"}


def test_next_run_is_scheduled_for_monday_morning(site: Site, worker: Process) -> None:
    until = time.monotonic() + 60
    with site.client() as client:
        while not (runs := [r for r in client.read_flow_runs() if r.auto_scheduled]):
            assert time.monotonic() < until, site.said("server")
            time.sleep(0.5)
    first = min(run.expected_start_time for run in runs)
    local = first.astimezone(ZoneInfo("Europe/Copenhagen"))
    assert (local.weekday(), local.hour, local.minute) == (0, 5, 0)
    away = first - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(0) < away <= datetime.timedelta(days=7, hours=1)


def test_invalid_parameters_are_refused_before_a_run_is_created(
    site: Site, worker: Process
) -> None:
    with pytest.raises(Exception, match="-1 is less than or equal to the minimum of 0"):
        site.run(TRAINING, {"settings": {"learning_rate": -1}})


def test_run_by_a_worker_promotes_a_champion(site: Site, promoted: UUID, told: Told) -> None:
    from prefect.client.schemas.filters import LogFilter

    champion = Champions(Store(site.root)).current()
    assert champion
    assert champion.by.endswith("(deployment scheduled-retraining)")
    with site.client() as client:
        day = client.read_flow_run(promoted).expected_start_time
        lines = [
            line.message
            for line in client.read_logs(
                LogFilter.model_validate({"flow_run_id": {"any_": [promoted]}})
            )
        ]
    assert champion.facts.settings["training"]["seed"] == int(f"{day:%Y%m%d}")
    assert any(line.startswith("Optimization Iteration:    101, Training") for line in lines)
    artifacts = site.artifacts(promoted)
    assert artifacts.keys() >= {"mnist-report", "retraining-decision"}
    assert artifacts["retraining-decision"].startswith("# Promoted")
    assert f"`{champion.id}`" in artifacts["retraining-decision"]
    event = site.event("mnist.champion.promoted")
    assert event["resource"]["prefect.resource.id"] == "mnist.champion"
    assert f"prefect.flow-run.{promoted}" in {r["prefect.resource.id"] for r in event["related"]}
    message = wait_for_message(told[1], "MNIST: promoted: no champion yet, and ")
    assert message["event"] == "mnist.champion.promoted"
    assert message["payload"]["champion"] == champion.id
    assert message["type"] == "application/json"


def test_batch_is_scored_and_a_failure_is_told(
    site: Site, promoted: UUID, source: Path, told: Told
) -> None:
    settings = {"artifacts": str(site.root), "out": str(site.folder / "scores.parquet")}
    paths = [f"{source}/t10k-images-idx3-ubyte", "/nowhere"]
    run = site.run(SCORING, {"paths": paths, "settings": settings})
    state = site.wait_until_final(run)
    assert state.is_failed(), "one of the files is invalid"
    assert "1 input was left out" in state.message
    assert site.artifacts(run)["scores"].startswith("200 pictures scored with champion ")
    assert pq.read_metadata(site.folder / "scores.parquet").num_rows == 200
    message = wait_for_message(told[1], "MNIST: failed: ")
    assert "1 input was left out" in message["text"]
    assert message["event"] == "prefect.flow-run.Failed"


@pytest.mark.parametrize("ui", [pytest.param("v1", marks=pytest.mark.proof), "v2"])
def test_fields_of_the_form_become_settings(
    site: Site, worker: Process, browser: Browser, source: Path, ui: str
) -> None:
    assert ui in UIS

    def take(*filled: Any) -> dict[str, Any]:
        """Submit the form, and return the settings that it gave."""
        run = submit_form(site, browser, ui, TRAINING, *filled)
        with site.client() as client:
            values: dict[str, Any] = client.read_flow_run(run).parameters["settings"]
            client.delete_flow_run(run)
        return {name: value for name, value in values.items() if value is not None}

    with site.client() as client:  # nothing is started
        queue = client.read_work_queue_by_name("train-on-demand", **QUEUE)
        client.update_work_queue(queue.id, is_paused=True)
        untouched = take("best", {}, {})
        assert FormSettings.model_validate(untouched).settings() == Settings(preset="best")
        first = {"Source": str(source), "Iterations": "30"}
        filled = take("fast", first, {"Digests": "none"})
        client.update_work_queue(queue.id, is_paused=False)
    assert filled == {
        **{"preset": "fast", "source": str(source), "iterations": 30},
        "more": {"digests": "none"},
    }


def test_settings_of_the_form_are_trained(
    site: Site, worker: Process, source: Path, tmp_path: Path
) -> None:
    root = tmp_path / "artifacts"
    more = {"digests": "none", "artifacts": str(root), "insights": [], "dense": [8]}
    more |= {"conv_filters": [2, 2], "conv_sizes": [3, 3]}
    form = {"preset": "fast", "source": str(source), "iterations": 20, "more": more}
    state = site.wait_until_final(site.run(TRAINING, {"settings": form}))
    assert state.is_completed(), site.said("first")
    settings = json.loads((root / "latest/report/metrics.json").read_text())["settings"]
    assert settings["schedule"]["iterations"] == 20
    assert settings["training"]["rate_schedule"] == "one-cycle"


def deployed(site: Site) -> dict[str, int]:
    """How much there is on the server."""
    kinds = ("deployments", "work_pools", "work_queues", "automations", "block_documents")
    with site.client() as client:
        return {kind: len(client._client.post(f"/{kind}/filter", json={}).json()) for kind in kinds}


def test_second_deployment_updates_edited_parts_only(
    site: Site, worker: Process, tmp_path: Path
) -> None:
    """The last test: the runs of what it deploys would start in an edited copy of this project."""
    before = deployed(site)
    with site.client() as client:
        retraining = client.read_deployment_by_name(RETRAINING)
        client.update_deployment_schedule(retraining.id, retraining.schedules[0].id, active=False)
        queue = client.read_work_queue_by_name("score-batch", **QUEUE)
        client.update_work_queue(queue.id, concurrency_limit=3)
        paused, other = client.read_automations()
        client.pause_automation(paused.id)
    project = copy_project(tmp_path / "project")
    for name, old, new in (
        ("prefect.yaml", "Trains and reports,", "Trains, reports,"),
        ("prefect.yaml", 'cron: "0 5 * * 1"', 'cron: "0 6 * * 1"'),
        ("automations.yaml", "description: Sends", "description: Edited. Sends"),
    ):
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))
    done = site.deploy(project=project)
    assert f"updated automation: {paused.name} (paused)" in done.stdout
    assert deployed(site) == before
    with site.client() as client:
        assert "Trains, reports," in client.read_deployment_by_name(TRAINING).description
        (schedule,) = client.read_deployment_by_name(RETRAINING).schedules
        assert (schedule.active, schedule.schedule.cron) == (False, "0 6 * * 1")
        queue = client.read_work_queue_by_name("score-batch", **QUEUE)
        assert queue.concurrency_limit == 3
        automations = {found.id: found for found in client.read_automations()}
        assert automations[paused.id].description.startswith("Edited. ")
        assert not automations[paused.id].enabled
        assert automations[other.id].enabled
