"""Settings and records of the small project that the cache is tested with."""

from pathlib import Path
from typing import Annotated

from tasks.engine.models import FileRef, NotInKey, Record
from tasks.settings.base import StageSettings


class GatherSettings(StageSettings):
    source: Path
    patience: Annotated[int, NotInKey] = 1


class CleanSettings(StageSettings):
    shortest: int = 1
    """Letters of the shortest word that is kept."""


class CountSettings(StageSettings):
    minimum: int = 1


class ReportSettings(StageSettings):
    title: str = "Words"


class StorySettings(StageSettings):
    gather: GatherSettings
    clean: CleanSettings = CleanSettings()
    count: CountSettings = CountSettings()
    report: ReportSettings = ReportSettings()
    steps: int = 2


class Gathered(Record):
    file: FileRef
    lines: int
    moment: Annotated[int, NotInKey]
    """Differs from run to run."""


class Cleaned(Record):
    file: FileRef
    dropped: int
    """Words left out: a fact that may change while the file stays the same."""


class Counted(Record):
    counts: FileRef
    total: FileRef
    """Which no other stage reads."""


class Grown(Record):
    file: FileRef


class Reported(Record):
    file: FileRef
