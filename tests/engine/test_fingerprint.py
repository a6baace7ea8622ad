"""Tests of the fingerprint of a stage's code."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tasks.engine import fingerprint as module
from tasks.engine.fingerprint import fingerprint
from tasks.engine.stage import key_of

SOURCES = {
    "tasks/__init__.py": "",
    "tasks/model/__init__.py": "",
    "tasks/model/train.py": """
        from tasks.model import network
        from tasks.data import dataset

        def train():
            from ..report.formatting import say
            return network.build() + dataset.read() + say()
        """,
    "tasks/model/network.py": """
        from tasks.settings import NetworkSettings

        def build():
            return 1
        """,
    "tasks/data/__init__.py": "",
    "tasks/data/dataset.py": "def read():\n    return 2\n",
    "tasks/report/__init__.py": "",
    "tasks/report/formatting.py": "def say():\n    return 3\n",
    "tasks/report/unused.py": "import tasks.model.train\n",
    "tasks/settings/__init__.py": "class NetworkSettings:\n    pass\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
    return tmp_path / "project"


def dedent(source: str) -> str:
    lines = source.split("\n")
    return "\n".join(line.removeprefix("        ") for line in lines)


def edit(path: Path, old: str, new: str) -> None:
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))


def test_imports_are_followed_at_any_level(project: Path) -> None:
    digests = fingerprint("tasks.model.train", project).code
    assert set(digests) == {
        "tasks/__init__.py",
        "tasks/data/__init__.py",
        "tasks/data/dataset.py",
        "tasks/model/__init__.py",
        "tasks/model/network.py",
        "tasks/model/train.py",
        "tasks/report/__init__.py",
        "tasks/report/formatting.py",
    }


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/model/network.py", "return 1", "return 10"),
        ("tasks/data/dataset.py", "return 2", "return 20"),
        ("tasks/report/formatting.py", "return 3", "return '3'"),
        ("tasks/model/__init__.py", "", "import os\n"),
    ],
)
def test_editing_a_module_changes_only_its_digest(
    project: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint("tasks.model.train", project).code
    edit(project / name, old, new)
    after = fingerprint("tasks.model.train", project).code
    assert {path for path in after if after[path] != before.get(path)} == {name}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 1", "return 1  # the answer"),
        ("def build():", 'def build():\n    """Build it."""'),
        ("def build():\n    return 1", "def build():\n\n\n    return (\n        1\n    )"),
        ("from tasks", '"""The network."""\n\nfrom tasks'),
    ],
    ids=["comment", "docstring", "formatting", "module docstring"],
)
def test_comments_docstrings_and_formatting_do_not_change_digests(
    project: Path, old: str, new: str
) -> None:
    before = fingerprint("tasks.model.train", project).code
    edit(project / "tasks/model/network.py", old, new)
    assert fingerprint("tasks.model.train", project).code == before


def test_modules_that_are_not_imported_do_not_change_digests(project: Path) -> None:
    before = fingerprint("tasks.model.train", project).code
    edit(project / "tasks/settings/__init__.py", "pass", "seed = 1")
    edit(project / "tasks/report/unused.py", "train", "network")
    assert fingerprint("tasks.model.train", project).code == before


def test_packages_outside_the_project_are_excluded(project: Path) -> None:
    """An installed project lies in a folder with all other packages."""
    (project / "numpy").mkdir()
    (project / "numpy/__init__.py").write_text("version = 1\n")
    edit(project / "tasks/model/network.py", "def build", "import numpy\n\ndef build")
    assert not any("numpy" in path for path in fingerprint("tasks.model.train", project).code)


def key_of_train(project: Path) -> str:
    """Return a key of the code alone."""
    module.read_module.cache_clear()
    found = fingerprint("tasks.model.train", project)
    return key_of({"code": found.code, "imports": found.imports})


def test_moved_module_does_not_change_the_key(project: Path) -> None:
    before = key_of_train(project)
    (project / "tasks/model/layers").mkdir()
    (project / "tasks/model/layers/__init__.py").write_text('"""Layers."""\n')
    (project / "tasks/model/network.py").rename(project / "tasks/model/layers/network.py")
    edit(
        project / "tasks/model/train.py",
        "tasks.model import network",
        "tasks.model.layers import network",
    )
    (project / "tasks/data/dataset.py").rename(project / "tasks/model/dataset.py")
    edit(project / "tasks/model/train.py", "tasks.data import", "tasks.model import")
    assert key_of_train(project) == before


def test_importing_a_name_from_another_module_changes_the_key(project: Path) -> None:
    (project / "tasks/data/other.py").write_text("def read():\n    return 3\n")
    edit(
        project / "tasks/model/train.py",
        "def train",
        "from tasks.data.other import read\n"
        "from tasks.data.dataset import read as read2\n\n"
        "def train",
    )
    before = key_of_train(project)
    edit(project / "tasks/model/train.py", "data.other import read", "data.x import read")
    edit(
        project / "tasks/model/train.py", "data.dataset import read as", "data.other import read as"
    )
    edit(project / "tasks/model/train.py", "data.x import read", "data.dataset import read")
    assert key_of_train(project) != before


def test_fingerprints_of_this_project_include_imported_modules() -> None:
    drawn = fingerprint("tasks.report.draw").code
    assert "tasks/report/figures/canvas.py" in drawn
    assert "tasks/model/train.py" not in drawn
    trained = fingerprint("tasks.model.train").code
    assert {"tasks/model/network.py", "tasks/data/dataset.py"} <= set(trained)
    assert not any(path.startswith("tasks/report/") for path in trained)


@pytest.fixture
def cached_result(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cached parse result of `network`."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    fingerprint("tasks.model.train", project)
    (place,) = project.glob("tasks/model/__pycache__/network.*")
    return place


def digests_in_new_process(project: Path) -> dict[str, str]:
    """Return the digests as a new process computes them."""
    module.read_module.cache_clear()
    return fingerprint("tasks.model.train", project).code


def digests_without_cache(project: Path, folder: Path) -> dict[str, str]:
    """Return the digests of a copy without cached parse results."""
    shutil.copytree(project / "tasks", folder / "tasks", ignore=lambda *_: {"__pycache__"})
    return fingerprint("tasks.model.train", folder).code


@pytest.mark.usefixtures("cached_result")
def test_cached_modules_are_not_parsed_digests_in_new_process(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests_in_new_process(project)
    monkeypatch.setattr(module, "parse_module", None)  # a call would fail
    assert digests_in_new_process(project) == before
    # Another version of Python or of the parser.
    monkeypatch.setattr(module, "parser_version", lambda: b"another")
    with pytest.raises(TypeError):
        digests_in_new_process(project)


def test_edit_is_detected_despite_equal_size_and_times(
    project: Path, cached_result: Path, tmp_path: Path
) -> None:
    module = project / "tasks/model/network.py"
    status, before = module.stat(), digests_in_new_process(project)
    edit(module, "return 1", "return 2")
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(cached_result)
    after = digests_in_new_process(project)
    assert after == digests_without_cache(project, tmp_path / "copy")
    assert after != before


@pytest.mark.parametrize("damage", ["empty", "half", "digit", "zeros", "folder"])
def test_damaged_cached_result_is_replaced(
    project: Path, cached_result: Path, tmp_path: Path, damage: str
) -> None:
    content = cached_result.read_bytes()
    digest = content.index(b'"digest": "') + len(b'"digest": "')
    flipped = b"0" if content[digest : digest + 1] != b"0" else b"1"
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "digit": content[:digest] + flipped + content[digest + 1 :],
        "zeros": bytes(len(content)),
    }
    if damage == "folder":
        cached_result.unlink()
        cached_result.mkdir()
    else:
        cached_result.write_bytes(damaged[damage])
    assert digests_in_new_process(project) == digests_without_cache(project, tmp_path / "copy")
    if damage != "folder":
        assert cached_result.read_bytes() == content


def test_cached_result_is_not_used_for_another_package(project: Path, cached_result: Path) -> None:
    """Relative imports in equal source text depend on the package."""
    for package in ("model", "data"):
        (project / "tasks" / package / "same.py").write_text("from . import network, dataset\n")
    fingerprint("tasks.model.same", project)
    (place,) = cached_result.parent.glob("same.*")
    target = project / "tasks/data/__pycache__" / place.name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(place, target)
    module.read_module.cache_clear()
    assert "tasks/data/dataset.py" in fingerprint("tasks.data.same", project).code


def test_nothing_is_cached_if_python_writes_no_bytecode(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    fingerprint("tasks.model.train", project)
    assert not list(project.rglob("__pycache__"))
