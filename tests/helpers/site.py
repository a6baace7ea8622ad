"""A Prefect server and workers, as `make server` and `make worker` start them, and their deaths."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from tasks.engine.store import PROJECT
from tasks.runtime.server import free_port, wait_until_ready

RETRAINING = "scheduled-retraining/scheduled-retraining"
SCORING = "score-batch/score-batch"
RETRY_DELAY = 12
"""Seconds between two tries of a run; prefect.yaml has 300."""

Process = subprocess.Popen[bytes]


@dataclass
class Site:
    """A server with a home of its own, and what is needed to talk to it."""

    url: str
    folder: Path
    environment: dict[str, str]
    running: dict[str, Process] = field(default_factory=dict)
    """Processes that were started here, by name."""

    @property
    def root(self) -> Path:
        return self.folder / "artifacts"

    def deploy(
        self, project: Path = PROJECT, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run what `make deploy` runs; standard input is closed to questions."""
        done = subprocess.run(
            [sys.executable, "-m", "tasks.runtime.deploy"],
            cwd=project,
            env={**self.environment, "PYTHONPATH": str(project), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done

    def start(self, name: str, *arguments: str, **environment: str) -> Process:
        """Start `python …` in a process group of its own; what it says goes to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=PROJECT,
                env={**self.environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[name] = process
        return process

    def start_server(self) -> None:
        """Start the server as `make server` does, and wait until it answers."""
        server = self.start("server", "-m", "prefect", "--no-prompt", "server", "start")
        wait_until_ready(server, self.url)

    def start_worker(self, name: str = "first", silence: float = 90, **environment: str) -> Process:
        """Start a worker as `make worker` does."""
        options = ("--silence", str(silence), "--name", name)
        return self.start(name, "-m", "tasks.runtime.worker", *options, **environment)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, *names: str) -> None:
        """Kill the server, or a worker with the processes of its runs, as a power cut does."""
        for name in names:
            process = self.running.pop(name)
            pids = {process.pid} if name == "server" else {process.pid, *self.run_processes()}
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(timeout=30)

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End what was started here, and wait for it."""
        if (process := self.running.pop(name, None)) and process.poll() is None:
            os.killpg(process.pid, number)
            process.wait(timeout=60)

    def close(self) -> None:
        for name in [*self.running]:
            self.end(name, signal.SIGKILL)
        for pid in self.run_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def run_processes(self) -> list[int]:
        """The processes of this site's runs, told by their environment."""
        mark = f"PREFECT_HOME={self.folder / 'home'}".encode()
        own = {process.pid for process in self.running.values()}
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes()
                if mark in environment and b"PREFECT__FLOW_RUN_ID=" in environment:
                    found.append(int(folder.name))
        return [pid for pid in found if pid not in own]

    def client(self) -> Any:
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(
            self.url, auth_string=self.environment.get("PREFECT_API_AUTH_STRING")
        )

    def run(self, deployment: str, parameters: dict[str, Any], retry: bool = False) -> UUID:
        """Ask for a run, as the UI does.

        Args:
            deployment: its name.
            parameters: of the run.
            retry: try again after `RETRY_DELAY` seconds, not after 300.
        """
        delay = {"PREFECT_FLOWS_DEFAULT_RETRY_DELAY_SECONDS": str(RETRY_DELAY)}
        tries = {"PREFECT_FLOWS_DEFAULT_RETRIES": "2" if retry else "0"}
        with self.client() as client:
            found = client.read_deployment_by_name(deployment)
            run_id: UUID = client.create_flow_run_from_deployment(
                found.id, parameters=parameters, job_variables={"env": delay | tries}
            ).id
            return run_id

    def wait(self, run_id: UUID, wanted: Callable[[Any], bool], seconds: float = 120) -> Any:
        """Wait until a run's state is as wanted."""
        until = time.monotonic() + seconds
        with self.client() as client:
            while not wanted(state := client.read_flow_run(run_id).state):
                assert time.monotonic() < until, "\n".join(
                    [f"{state}", *map(self.said, self.running)]
                )
                time.sleep(0.3)
        return state

    def wait_until_final(self, run_id: UUID, seconds: float = 150) -> Any:
        return self.wait(run_id, lambda state: state.is_final(), seconds)

    def artifacts(self, run_id: UUID) -> dict[str, Any]:
        """A run's artifacts by key."""
        from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

        with self.client() as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
            )
        return {artifact.key: artifact.data for artifact in found}

    def wait_for_artifact(self, run_id: UUID, key: str, seconds: float = 60) -> str:
        until = time.monotonic() + seconds
        while key not in (artifacts := self.artifacts(run_id)):
            assert time.monotonic() < until, f"no artifact {key}"
            time.sleep(0.5)
        return str(artifacts[key])

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


def copy_project(place: Path) -> Path:
    """A copy of this project, to be edited."""
    left_out = (".git", ".venv", "artifacts", "tests", "benchmarks", ".*_cache")
    shutil.copytree(PROJECT, place, ignore=shutil.ignore_patterns(*left_out))
    return place


@contextlib.contextmanager
def open_site(folder: Path, **environment: str) -> Iterator[Site]:
    """A server with an empty database on a free port, until the block ends."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    site = Site(
        url,
        folder,
        {
            **os.environ,
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": url,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_UI_API_URL": url,  # the UI asks for port 4200 unless it is told otherwise
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            **environment,
        },
    )
    try:
        site.start_server()
        yield site
    finally:
        site.close()
