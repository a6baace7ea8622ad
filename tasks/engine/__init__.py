"""Cached stages on Prefect, for any subject.

`stage` makes a function a cached stage, an executor runs it, a `Store` keeps its results.
"""

from tasks.engine.executors import (
    LocalExecutor,
    LookupExecutor,
    NotCachedError,
    PrefectExecutor,
    StageOutcome,
)
from tasks.engine.models import FileRef, NotInKey, Record
from tasks.engine.stage import Executor, stage
from tasks.engine.store import Store, Workspace, open_store

__all__ = [
    "Executor",
    "FileRef",
    "LocalExecutor",
    "LookupExecutor",
    "NotCachedError",
    "NotInKey",
    "PrefectExecutor",
    "Record",
    "StageOutcome",
    "Store",
    "Workspace",
    "open_store",
    "stage",
]
