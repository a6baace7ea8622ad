"""Damaged files are read or refused in one line, with bounded time and memory.

`MUTATIONS=1000000 make proofs` tries as many as it is told, the same bytes each time.
"""

import os
import subprocess
import sys

import pytest
from helpers import mutations

COUNT = int(os.environ.get("MUTATIONS", "4000"))


@pytest.mark.slow
def test_damaged_files_of_every_kind() -> None:
    """A reader may crash, so it has a process of its own."""
    done = subprocess.run(
        [sys.executable, mutations.__file__, "--count", str(COUNT)],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"\n{COUNT:,} inputs, 0 escapes: ")
    assert not done.stderr, "a library printed to the terminal"
