"""Settings and records of the small project in the cache tests."""

from pathlib import Path
from typing import Annotated

from tasks.engine.models import FileRef, NotInKey, Record
from tasks.settings.base import StageSettings


class GatherSettings(StageSettings):
    source: Path
    patience: Annotated[int, NotInKey] = 1


class CleanSettings(StageSettings):
    shortest: int = 1
    """Minimum length of a word, in letters."""


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
    """Seconds of the run; different in every run."""


class Cleaned(Record):
    file: FileRef
    dropped: int
    """Number of words left out: a fact that can change while the file stays the same."""


class Counted(Record):
    counts: FileRef
    total: FileRef
    """File that no other stage reads."""


class Grown(Record):
    file: FileRef


class Reported(Record):
    file: FileRef
