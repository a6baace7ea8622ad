"""All settings of the pipeline: frozen models with the tutorial's values as defaults.

Each stage is given only the model that it reads, and the *values* of that model
are part of the stage's cache key. So these models hold plain values and
validators, no methods that compute: code here never changes a result by itself.
A field marked `NotInKey` changes how a stage works, not its result,
and is left out of the key.
"""

from tasks.settings.data import AuditSettings, ConvertSettings, DownloadSettings
from tasks.settings.network import NetworkSettings
from tasks.settings.run import (
    NOT_RESULT_SETTINGS,
    FigureSettings,
    RetrainSettings,
    ScoreSettings,
    Settings,
)
from tasks.settings.training import EvaluationSettings, ScheduleSettings, TrainingSettings

__all__ = [
    "NOT_RESULT_SETTINGS",
    "AuditSettings",
    "ConvertSettings",
    "DownloadSettings",
    "EvaluationSettings",
    "FigureSettings",
    "NetworkSettings",
    "RetrainSettings",
    "ScheduleSettings",
    "ScoreSettings",
    "Settings",
    "TrainingSettings",
]
