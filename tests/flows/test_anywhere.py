"""Tests of commands in other folders, terminals, environments and checkouts."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.commands import PIPELINE

from tasks.engine.store import PROJECT

STATUS = ("--status", "--source", "digits")


def status(folder: Path, script: Path = PIPELINE, **environment: str) -> str:
    """Return the standard output of `--status` in a folder."""
    done = subprocess.run(
        [sys.executable, script, *STATUS, "--artifacts", folder / "artifacts"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_modules_in_the_current_folder_are_ignored(tmp_path: Path) -> None:
    for name in ("tasks.py", "pip.py", "flows.py", "dask.py"):
        (tmp_path / name).write_text("raise SystemExit('mine')")
    assert status(tmp_path).startswith("download ")


def test_output_in_a_locale_without_utf_8(tmp_path: Path) -> None:
    text = status(tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert text.startswith("download ")


def test_closed_standard_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, PIPELINE, "--iterations", "-1"],
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2


def test_deleted_current_folder(tmp_path: Path) -> None:
    command = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, PIPELINE, *STATUS, "--artifacts", "/tmp/x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_second_checkout_runs_its_own_code(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("flows", "tasks"):
        shutil.copytree(
            PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(PROJECT / "pyproject.toml", copy)
    executors = copy / "tasks/engine/executors.py"
    executors.write_text(executors.read_text().replace("will run: ", "the copy will run: "))
    assert "the copy will run: " in status(tmp_path, copy / "flows/pipeline.py")


READ_ONLY = """
for folder in /tmp /var/tmp /dev/shm; do
    mount --bind $folder $folder && mount -o remount,bind,ro $folder || exit 99
done
cd /proc && exec "$@"
"""


def test_without_a_usable_temporary_folder(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("read-only folders need the rights for a mount namespace")
    done = subprocess.run(
        [
            *("unshare", "-m", "sh", "-c", READ_ONLY, "sh", sys.executable, PIPELINE),
            *("--source", "digits", "--artifacts", tmp_path / "artifacts"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no folder for temporary files: ")
    assert done.stderr.count("\n") == 1


CODE_OF_STAGES = """
from flows import graph
from tasks.engine.stage import STAGES
print(sorted({path.split("/")[0] for stage in STAGES.values() for path in stage.fingerprint.code}))
"""


@pytest.mark.slow
def test_installed_from_a_wheel(tmp_path: Path) -> None:
    """The wheel lies in a folder of its own; other packages are those of this environment."""
    build = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path)
    subprocess.run([sys.executable, *build, PROJECT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packages = tmp_path / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (tmp_path / "here").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE_OF_STAGES],
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['tasks']\n"
    done = subprocess.run(
        [sys.executable, packages / "flows/pipeline.py", *STATUS],
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("download ")
