"""Hooks of flows: the reason of a failure, as an artifact."""

from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event

import tasks.runtime.prefect_logging  # noqa: F401  quiet wherever a flow is loaded
from tasks.runtime.errors import PipelineError, without_secrets

FAILURE_KEY = "flow-failure"


def reason_of(state: State[Any]) -> str:
    """Return the reason of a failure, without secrets."""
    reason = without_secrets(state.message or "")
    reason = reason.replace("Flow run encountered an exception: ", "")
    return reason.removeprefix(f"{PipelineError.__name__}: ") or "No reason is known."


def reason_markdown(flow_name: str, run_name: str, state_name: str, reason: str) -> str:
    """Return the reason of a failure as Markdown."""
    return "\n".join(
        [
            f"# {flow_name}: {state_name.lower()}",
            reason,
            "",
            f"Flow run `{run_name}`. Finished stages and what was trained so far are kept: once the"
            " reason is gone, a new run goes on from there. The champion is unchanged.",
        ]
    )


def publish_failure_reason(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Publish the reason of a failed or crashed run as a Markdown artifact.

    If the process of the flow run has died, the worker calls this hook in another one.
    """
    with get_client(sync_client=True) as client:
        publish_reason(client, flow.name, flow_run, state)


def publish_reason(
    client: SyncPrefectClient, flow_name: str, flow_run: FlowRun, state: State[Any]
) -> None:
    """Publish the reason of a state as a Markdown artifact of its flow run, and as an event."""
    verdict = state.type.value.lower()
    emit_event(
        event=f"mnist.run.{verdict}",
        resource={
            "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
            "prefect.resource.name": flow_run.name,
        },
        payload={"verdict": verdict, "flow": flow_name, "reason": reason_of(state)},
    )
    client.create_artifact(
        ArtifactCreate(
            key=FAILURE_KEY,
            type="markdown",
            description=f"Why {flow_name} ended",
            data=reason_markdown(
                flow_name, flow_run.name, state.name or state.type.value, reason_of(state)
            ),
            flow_run_id=flow_run.id,
        )
    )
