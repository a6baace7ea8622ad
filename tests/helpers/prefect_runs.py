"""Runs on the test server, which other tests use at the same time."""

from pathlib import Path
from typing import Any


def newest_artifact(key: str, root: Path) -> Any:
    """Return the newest artifact of the flow runs whose parameters name this folder."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
    )
    from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort

    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)
        own = [run.id for run in runs if str(root) in str(run.parameters)]
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(
                key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=own)
            ),
            sort=ArtifactSort.CREATED_DESC,
        )[0]
