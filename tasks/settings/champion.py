"""Settings of promotion."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from tasks.settings.base import (
    StageSettings,
)

DEFAULT_CHAMPION = "default"
CHAMPION_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
ChampionName = Annotated[str, Field(pattern=f"^{CHAMPION_NAME}$")]
"""Plain name of a folder."""


class RetrainSettings(StageSettings):
    """When a challenger becomes the champion; see champion/rule.py for the rule."""

    champion: ChampionName = Field(
        DEFAULT_CHAMPION,
        description="Name of the champion to compare with. Champions of different data sets live"
        " side by side under different names: letters, digits, - and _.",
    )
    floor: float = Field(
        0.97, ge=0, le=1, description="Validation accuracy that every champion must reach."
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="A challenger that is worse than the champion with a p-value below this (exact"
        " one-sided McNemar test on the validation split) is kept out.",
    )
    margin: float = Field(
        0.001,
        ge=0,
        le=1,
        description="How far below that of the best champion so far a challenger's validation"
        " accuracy may be.",
    )
    seed_policy: Literal["fixed", "date"] = Field(
        "fixed",
        description="'fixed' trains with --seed; 'date' with the day that the run is scheduled"
        " for, as in 20260131 (UTC), so that each run brings a new challenger.",
    )
    new_task: bool = Field(
        False,
        description="Let a challenger that was trained on data of another kind (number of"
        " classes, image size, ground, source) replace the champion without a comparison.",
    )
