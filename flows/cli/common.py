"""Shared parts of the command lines: options, defaults for Prefect, errors, exit codes.

Nothing here imports Prefect before the options have been read.
"""

import contextlib
import io
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter
from pydantic import BaseModel, ValidationError

from tasks.runtime.console import console, print_log_lines
from tasks.runtime.environment import prepare_environment
from tasks.runtime.errors import PipelineError, is_lost_server, without_secrets
from tasks.settings import Settings

ArtifactsOption = Annotated[
    str | None, Parameter(name="--artifacts", help="Folder or URL of the results.")
]


SettingsOption = Annotated[Settings, Parameter(name="*")]
RESUME = "finished stages and training so far are kept; a new run resumes from there"
HEADINGS = {"download": "Data", "convert": "Data", "audit": "Data", "figures": "Report"}
"""Headings of options in `--help`, where they are not the name of the group of settings."""

for name, field in Settings.model_fields.items():
    if isinstance(field.default, BaseModel):
        # Options are called `--seed`, not `--training.seed`.
        Parameter(name="*", group=HEADINGS.get(name, name.capitalize()))(type(field.default))


def make_app(name: str) -> App:
    """Return a command line whose result is the exit code of its command."""
    return App(
        name=name,
        version_flags=[],
        result_action="return_value",
        default_parameter=Parameter(negative_iterable=()),  # `none`, not `--empty-dense`
    )


def with_refresh_all(arguments: list[str]) -> list[str]:
    """Return the arguments with `--refresh all` in place of a lone `--refresh`."""
    following = [*arguments, "--"][1:]
    return [
        f"{argument}=all" if argument == "--refresh" and after.startswith("-") else argument
        for argument, after in zip(arguments, following, strict=True)
    ]


def write_any_text() -> None:
    """Escape characters that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class TerminatedError(BaseException):
    """Reception of SIGTERM; no ordinary exception, so that `except Exception` ignores it."""


def raise_terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    """Handle SIGTERM."""
    raise TerminatedError


def run_to_exit_code(job: Callable[[], object]) -> int:
    """Run a flow from the command line.

    Returns:
        0 on success; 1 on failure, with the reason on the last line; 130 after Ctrl-C and
        143 after SIGTERM.
    """
    # Prefect's own lines go to the server, not to the console.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
    logging.raiseExceptions = False  # log lines that do not reach a server are left out
    print_log_lines()
    # Prefect handles SIGTERM first, to mark the run as crashed, and then calls this.
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        prepare_environment()
        job()
    except PipelineError as error:
        return fail(str(error), 1)
    except KeyboardInterrupt:
        return fail(f"interrupted; {RESUME}", 130)
    except TerminatedError:
        return fail(f"terminated; {RESUME}", 143)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # while Python 3.11 makes a class
            return fail(f"interrupted; {RESUME}", 130)
        from tasks.runtime.server import leave

        if is_lost_server(error):
            leave(fail(f"the Prefect server no longer answers; start it again; {RESUME}", 1))
        console.print_exception()
        return fail(f"{type(error).__name__}: {error}", 1)
    return 0


def call_flow(entrypoint: str, *arguments: Any) -> Any:
    """Run a flow on the configured Prefect server, or on a temporary one, and return its result.

    Args:
        entrypoint: module and name of the flow, as in a deployment.
        arguments: arguments of the flow.
    """
    from prefect.flows import load_flow_from_entrypoint

    from tasks.runtime.server import server_for_this_run

    flow: Any = load_flow_from_entrypoint(entrypoint)
    with server_for_this_run():
        return flow(*arguments)


def parse(app: App, arguments: list[str]) -> int:
    """Run the command that the arguments name.

    Returns:
        The command's exit code; 2 if the arguments are wrong and 1 if the command cannot do
        what they say, with the reason in one line.
    """
    write_any_text()
    try:
        code = app(with_refresh_all(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed its end, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except CycloptsError as error:
        return fail(describe_wrong_argument(error), 2)
    except PipelineError as error:
        return fail(str(error), 1)
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    return code or 0


def describe_wrong_argument(error: CycloptsError) -> str:
    """Return one line about the first wrong argument: option, value, allowed values."""
    cause = error.__context__
    if not isinstance(cause, ValidationError):
        return str(error)
    first = cause.errors()[0]
    message = re.sub("^(Value error, |Input |String )", "", first["msg"])
    if isinstance(first["input"], dict) or not error.argument:
        return message  # about several options, which it names
    # The path ends in the option; an item of a list has its number behind that.
    names = [part.replace("_", "-") for part in first["loc"] if isinstance(part, str)]
    option = f"--{names[-1]}" if names else error.argument.name
    return f"{option} {first['input']}: {message}"


def fail(reason: str, code: int) -> int:
    """Print the reason of a failure on standard error, and return the exit code."""
    with contextlib.suppress(OSError, ValueError):  # standard error may be closed
        print(f"error: {without_secrets(reason)}", file=sys.stderr)
    return code
