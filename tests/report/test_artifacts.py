"""Tests of artifacts on a real Prefect server."""

import pytest
from prefect import flow
from prefect.artifacts import Artifact, ImageArtifact, TableArtifact

from tasks.report.artifacts import link, send_what_is_new

pytestmark = pytest.mark.server


def artifacts(image: str = "data:,1", about: str = "one") -> list[Artifact]:
    return [
        TableArtifact(key="publish-table", table=[{"a": 1, "b": "é"}], description="a table"),
        ImageArtifact(key="publish-figure", image_url=image, description=about),
    ]


def test_only_changed_artifacts_are_sent(prefect_server: str) -> None:
    send = flow(send_what_is_new)
    table, figure = send(artifacts())
    assert send(artifacts()) == [table, figure]
    (same, other) = send(artifacts(image="data:,2"))
    assert same == table
    assert other != figure
    assert send(artifacts(image="data:,2", about="two"))[1] not in {figure, other}
    # An earlier version that is not the latest one is sent again.
    assert send(artifacts())[1] not in {figure, other}
    address = link(table)
    assert address
    assert address.endswith(f"/artifacts/artifact/{table}")
