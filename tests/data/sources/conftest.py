"""A small data set, and how sources are loaded."""

from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import Arrays, Load, Loaded

from tasks.data.download import get_files
from tasks.settings import DownloadSettings


@pytest.fixture
def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return Arrays(
        rng.integers(0, 256, (42, 4, 4), np.uint8),
        np.arange(42, dtype=np.uint8) % 3,
        rng.integers(0, 256, (9, 4, 4), np.uint8),
        np.arange(9, dtype=np.uint8) % 3,
    )


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load what `--source` names, with further settings."""

    def run(source: Path, **settings: object) -> Loaded:
        values = {"source": str(source)} | settings
        return Loaded(get_files(DownloadSettings.model_validate(values), tmp_path))

    return run
