"""Settings of promotion."""

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
)

from tasks.settings.base import (
    StageSettings,
)

DEFAULT_CHAMPION = "default"
CHAMPION_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""Pattern of names that are plain folder names everywhere."""


def check_champion_name(name: str) -> str:
    """Return a name that can be the name of a folder.

    Raises:
        ValueError: it cannot.
    """
    if not re.fullmatch(CHAMPION_NAME, name):
        raise ValueError(
            "a champion's name should be 1 to 64 letters, digits, - and _, the first of them a"
            " letter or a digit"
        )
    return name


ChampionName = Annotated[
    str,
    AfterValidator(check_champion_name),
    Field(json_schema_extra={"pattern": f"^{CHAMPION_NAME}$"}),
]


class RetrainSettings(StageSettings):
    """Limits of the promotion rule; see champion/rule.py."""

    champion: ChampionName = Field(
        DEFAULT_CHAMPION,
        description="Name of the champion to compare with, made of letters, digits, - and _."
        " Champions of several data sets live side by side under names of their own.",
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
