"""Settings of scoring."""

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
)

from tasks.settings.base import (
    BatchSize,
    Root,
    StageSettings,
)
from tasks.settings.champion import DEFAULT_CHAMPION, ChampionName

DEFAULT_OUT = Path("predictions.parquet")
"""Predictions file of a run outside a terminal, if none is named."""


class ScoreSettings(StageSettings):
    """Settings of scoring images with the champion."""

    out: Path | None = Field(
        None,
        description="File to write, Parquet, with the probability of every class. Default: none in"
        " a terminal, else predictions.parquet.",
    )
    contact_sheet: Path | None = Field(
        None,
        description="PNG to write: each picture as it came, as the network saw it, and the answer;"
        " the first 200.",
    )
    fit: Literal["auto", "mnist", "none"] = Field(
        "auto",
        description="mnist: pictures of any size are brought into the form of MNIST's digits; auto"
        " does so for a champion of MNIST, and leaves alone what is in that form already (of other"
        " champions' pictures only the ground is inverted, if theirs is another); none: pictures"
        " are taken as they are.",
    )
    champion: ChampionName = Field(DEFAULT_CHAMPION, description="Name of the champion.")
    batch: BatchSize = Field(1024, description="Pictures in memory at a time.")
    artifacts: Root | None = Field(
        None,
        description="Folder or URL that holds the champion. Default: artifacts/ beside this"
        " project.",
    )
