"""The environment of this process, which Prefect and TensorFlow read when they are imported."""

import getpass
import os
import platform
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.runtime.errors import PipelineError

PROJECT = Path(__file__).resolve().parents[2]
"""The folder of this project, if it is installed from one."""
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def prepare_environment() -> None:
    """Make the environment of a run; variables that are set already win.

    `[tool.prefect]` of pyproject.toml holds from any current folder: Prefect reads that table only
    in the current one. The proxies of the environment do not apply to this machine.

    Raises:
        PipelineError: there is no folder for temporary files, which TensorFlow and the temporary
            server need.
    """
    pyproject = PROJECT / "pyproject.toml"
    if pyproject.is_file():
        table = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["prefect"]
        for name, value in environment_variables("PREFECT", table):
            os.environ.setdefault(name, value)
    os.environ.setdefault("DO_NOT_TRACK", "1")  # the client's own analytics
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, *THIS_MACHINE]))
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise PipelineError(
            "no folder for temporary files: neither /tmp nor any other usual one can be written to,"
            " or they are full; set TMPDIR to a folder with some space"
        ) from error


def environment_variables(prefix: str, table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a nested table as Prefect's environment variables."""
    for name, value in table.items():
        variable = f"{prefix}_{name.upper()}"
        if isinstance(value, dict):
            yield from environment_variables(variable, value)
        else:
            yield variable, str(value)


def user_and_host() -> str:
    """Return the user and the host, as `name at host`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may have no user database
        name = "unknown user"
    return f"{name} at {platform.node()}"
