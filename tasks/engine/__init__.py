"""Cached stages on Prefect, for any subject.

`stage` makes a function a cached stage, an executor runs it, a `Store` keeps its results.
"""

from tasks.engine.executors import (
    CacheOnlyExecutor,
    DryRunExecutor,
    LocalExecutor,
    NotCachedError,
    PrefectExecutor,
    RepeatedExecutor,
    StageOutcome,
)
from tasks.engine.models import FileRef, NotInKey, Record
from tasks.engine.stage import Executor, stage
from tasks.engine.store import Store, Workspace, open_store

__all__ = [
    "CacheOnlyExecutor",
    "DryRunExecutor",
    "Executor",
    "FileRef",
    "LocalExecutor",
    "NotCachedError",
    "NotInKey",
    "PrefectExecutor",
    "Record",
    "RepeatedExecutor",
    "StageOutcome",
    "Store",
    "Workspace",
    "open_store",
    "stage",
]
