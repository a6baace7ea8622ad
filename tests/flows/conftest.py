"""Fixture that runs the pipeline from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Finished, run_pipeline


@pytest.fixture
def pipeline(prefect_server: str, tmp_path: Path) -> Callable[..., Finished]:
    """Return a function that runs the pipeline from another folder, with the test server."""

    def run(*arguments: str | Path, **options: Any) -> Finished:
        return run_pipeline(*arguments, cwd=tmp_path, PREFECT_API_URL=prefect_server, **options)

    return run
