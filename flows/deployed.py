"""What a flow run leaves behind when it ends badly and nobody watches."""

import logging
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, State

from tasks.errors import PipelineError, without_secrets

FAILURE_KEY = "flow-failure"


def reason_markdown(flow_name: str, run_name: str, state_name: str, message: str) -> str:
    """Why a run ended, for a person."""
    reason = without_secrets(message).replace("Flow run encountered an exception: ", "")
    return "\n".join(
        [
            f"# {flow_name}: {state_name.lower()}",
            reason.removeprefix(f"{PipelineError.__name__}: ") or "No reason is known.",
            "",
            f"Flow run `{run_name}`. Finished stages and what was trained so far are kept: once the"
            " reason is gone, a new run goes on from there. The champion is unchanged.",
        ]
    )


def leave_reason(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook for failed and crashed runs: a Markdown artifact with the reason.

    The runner calls it in a process of its own if that of the flow run has died.
    """
    with get_client(sync_client=True) as client:
        client.create_artifact(
            ArtifactCreate(
                key=FAILURE_KEY,
                type="markdown",
                description=f"Why {flow.name} ended",
                data=reason_markdown(
                    flow.name, flow_run.name, state.name or state.type.value, state.message or ""
                ),
                flow_run_id=flow_run.id,
            )
        )


def say_once(record: logging.LogRecord) -> bool:
    """Log an error whose message says it all without a traceback, and not again at the end.

    And nothing that stands in a web address and might be secret.
    """
    record.msg, record.args = without_secrets(record.getMessage()), ()
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, PipelineError):
        record.exc_info = None
        return str(error) in record.getMessage()
    return True


def drop_tracebacks() -> None:
    """Let Prefect log errors that a user is meant to read without tracebacks."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(say_once)  # a second time changes nothing


drop_tracebacks()  # wherever one of the flows is loaded: a worker's process has no command line
