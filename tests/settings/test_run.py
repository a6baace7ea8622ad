"""Tests of settings of the run: artifact root, workers."""

import re

import pytest
from helpers.settings_models import fault

from tasks.settings import (
    Settings,
)


def test_settings_keep_urls_and_refuse_a_dask_address_without_dask() -> None:
    assert Settings(artifacts="s3://bucket/mnist").artifacts == "s3://bucket/mnist"
    with pytest.raises(ValueError, match="--dask-address goes with --runner dask"):
        Settings(runner="local", dask_address="tcp://host:8786")


def test_artifact_root_with_a_password_is_refused() -> None:
    assert "set FSSPEC_FTP_PASSWORD" in fault(Settings, artifacts="ftp://ann:secret@host/mnist")
    assert "set AWS_ACCESS_KEY_ID" in fault(Settings, artifacts="s3://KEY:SECRET@bucket/x")
    (pattern,) = [
        part["pattern"]
        for part in Settings.model_json_schema()["properties"]["artifacts"]["anyOf"]
        if "pattern" in part
    ]
    assert not re.search(pattern, "ftp://ann:secret@host/mnist")
    for root in ("ftp://ann@host:2121/mnist", "s3://bucket/a@b:c", "/data/a:b@c", "artifacts"):
        assert Settings(artifacts=root).artifacts == root
        assert re.search(pattern, root)
