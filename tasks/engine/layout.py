"""Names below the artifact root.

<stage>/<first 12 of key>/   outputs of a stage run, moved there in one step
<stage>/.<…>.tmp/            outputs being written
<stage>/.<…>.old/            outputs being replaced
<stage>/.<…>.partial/        scratch files of an interrupted run, used to resume it
records/<stage>-<key>.json   the cache entry of a stage run, written last
locks/                       one lock file for each stage run
latest -> runs/<…>           inputs and report of the last run
runs/<number>.json           numbers and settings of every run
studies/                     runs and page of the studies
champion/                    the model registry
champions/<name>/            more of them, each with a name
"""

import re

RECORDS = "records"
LOCKS = "locks"
RUNS = "runs"
LATEST = "latest"
STUDIES = "studies"
CHAMPION = "champion"
CHAMPIONS = "champions"

MARKER = ".artifact-root"
MARKER_TEXT = "Artifact root of a pipeline: files with its names here may be replaced or removed.\n"

TEMPORARY = ("tmp", "old")
PARTIAL = ("partial",)
"""Suffixes of hidden folders."""

SHORT_KEY_LENGTH = 12
"""Hexadecimal digits of a key in the names of folders and locks."""


def short_key(key: str) -> str:
    """Return the part of a key that names folders and locks."""
    return key[:SHORT_KEY_LENGTH]


def stage_folder(stage: str, key: str) -> str:
    """Return the folder of a stage run's outputs, relative to the artifact root."""
    return f"{stage}/{short_key(key)}"


def is_output(path: str) -> bool:
    """Return whether a path, relative to the artifact root, is that of a stage run's output."""
    return re.match(rf"[^/]+/[0-9a-f]{{{SHORT_KEY_LENGTH}}}/", path) is not None


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


def scratch_folder(record: str) -> str:
    """Return the scratch folder that belongs to a cache entry's file name."""
    stage, _, key = record.removesuffix(".json").rpartition("-")
    return f"{stage}/{partial_name(short_key(key))}"


def visible_name(hidden: str) -> str:
    """Return the name that a hidden name was made from."""
    return hidden.split(".")[1]


def unfinished_record(hidden: str) -> str | None:
    """Return the cache entry's file name from the hidden name that it is written under."""
    name = re.fullmatch(r"\.([a-z0-9-]+-[0-9a-f]{64}\.json)\.[0-9a-f]{32}\.tmp", hidden)
    return name[1] if name else None


def is_hidden_name(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a name was made by one of the functions above from a short key."""
    pattern = rf"\.[0-9a-f]{{{SHORT_KEY_LENGTH}}}\.({'|'.join(suffixes)})"
    return re.fullmatch(pattern, name) is not None


def run_name(number: int) -> str:
    """Return the folder of a run's report in `runs/`."""
    return f"{number:06}"


def is_run_folder(path: str) -> bool:
    """Return whether a path, relative to the artifact root, is that of a run's report."""
    return re.fullmatch(rf"{RUNS}/[0-9]{{6,}}", path) is not None


def run_lock_name(run: str) -> str:
    """Return the name of the lock that a flow run holds."""
    return f"run.{run}"
