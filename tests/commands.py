"""Running the command line as a user does."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tasks.store import PROJECT

PIPELINE = PROJECT / "flows" / "pipeline.py"


@dataclass(frozen=True)
class Finished:
    """What a finished command left on the screen."""

    code: int
    lines: list[str]
    """Standard output and error together."""

    @property
    def last(self) -> str:
        return self.lines[-1] if self.lines else ""


def run_pipeline(
    *arguments: str | Path,
    python: tuple[str, ...] = (),
    cwd: Path | None = None,
    **environment: str,
) -> Finished:
    """Run `python flows/pipeline.py …` to its end."""
    done = subprocess.run(
        [sys.executable, *python, str(PIPELINE), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return Finished(done.returncode, done.stdout.splitlines())
