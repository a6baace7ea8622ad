"""Settings of scoring."""

from pathlib import Path

from pydantic import (
    Field,
)

from tasks.settings.base import (
    BatchSize,
    Root,
    StageSettings,
)
from tasks.settings.champion import DEFAULT_CHAMPION, ChampionName


class ScoreSettings(StageSettings):
    """Settings of scoring images with the champion."""

    out: Path = Field(Path("predictions.parquet"), description="File to write, Parquet.")
    batch: BatchSize = Field(1024, description="Images in memory at a time.")
    as_is: bool = Field(
        False,
        description="Take images as they are. By default those with another ground than the"
        " champion's training images (MNIST's is dark, ink on paper light) are inverted, and marked"
        " in the column `inverted`.",
    )
    champion: ChampionName = Field(DEFAULT_CHAMPION, description="Name of the champion.")
    artifacts: Root | None = Field(
        None,
        description="Folder or URL that holds the champion. Default: artifacts/ beside this"
        " project.",
    )
