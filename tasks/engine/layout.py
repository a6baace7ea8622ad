"""Names below the artifact root.

<stage>/<first 12 of key>/   outputs of a stage run, moved there in one step
<stage>/.<…>.tmp/            outputs being written
<stage>/.<…>.old/            outputs being replaced
<stage>/.<…>.partial/        scratch files of an interrupted run, used to resume it
records/<stage>-<key>.json   the cache entry of a stage run, written last
locks/                       one lock file for each stage run
latest -> runs/<…>           inputs and report of the last run
studies/<name>/              the page of a study
champion/                    the model registry
"""

RECORDS = "records"
LOCKS = "locks"
RUNS = "runs"
LATEST = "latest"
STUDIES = "studies"

SHORT_KEY_LENGTH = 12
"""Hexadecimal digits of a key in the names of folders and locks."""


def short_key(key: str) -> str:
    """Return the part of a key that names folders and locks."""
    return key[:SHORT_KEY_LENGTH]


def stage_folder(stage: str, key: str) -> str:
    """Return the folder of a stage run's outputs, relative to the artifact root."""
    return f"{stage}/{short_key(key)}"


def record_name(stage: str, key: str) -> str:
    """Return the file name of a stage run's cache entry in `records/`."""
    return f"{stage}-{key}.json"


def lock_name(stage: str, key: str) -> str:
    """Return the name of the lock that a stage run holds."""
    return f"{stage}-{short_key(key)}"


def record_lock_name(record: str) -> str:
    """Return the name of the lock that belongs to a cache entry's file name."""
    stage, _, key = record.rpartition("-")
    return lock_name(stage, key)


def temporary_name(name: str) -> str:
    """Return the hidden name of a folder that is being written."""
    return f".{name}.tmp"


def replaced_name(name: str) -> str:
    """Return the hidden name of a folder that is being replaced."""
    return f".{name}.old"


def partial_name(name: str) -> str:
    """Return the hidden name of the scratch folder that outlives an interrupted run."""
    return f".{name}.partial"


def visible_name(hidden: str) -> str:
    """Return the name that a hidden name was made from."""
    return hidden.split(".")[1]
