"""The digest of a stage's code: what changes it, and what doesn't."""

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


def test_imports_are_followed_wherever_they_stand(project: Path) -> None:
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
def test_editing_a_helper_changes_its_digest_alone(
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
def test_words_and_formatting_change_nothing(project: Path, old: str, new: str) -> None:
    before = fingerprint("tasks.model.train", project).code
    edit(project / "tasks/model/network.py", old, new)
    assert fingerprint("tasks.model.train", project).code == before


def test_modules_beside_the_stage_change_nothing(project: Path) -> None:
    before = fingerprint("tasks.model.train", project).code
    edit(project / "tasks/settings/__init__.py", "pass", "seed = 1")
    edit(project / "tasks/report/unused.py", "train", "network")
    assert fingerprint("tasks.model.train", project).code == before


def test_a_package_beside_the_project_is_not_counted(project: Path) -> None:
    """As where the project is installed, in a folder with all other packages."""
    (project / "numpy").mkdir()
    (project / "numpy/__init__.py").write_text("version = 1\n")
    edit(project / "tasks/model/network.py", "def build", "import numpy\n\ndef build")
    assert not any("numpy" in path for path in fingerprint("tasks.model.train", project).code)


def key_of_train(project: Path) -> str:
    """The part of the key that comes from code."""
    module.read_module.cache_clear()
    found = fingerprint("tasks.model.train", project)
    return key_of({"code": found.code, "imports": found.imports})


def test_a_moved_module_changes_no_key(project: Path) -> None:
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


def test_a_name_from_another_module_changes_the_key(project: Path) -> None:
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


def test_a_stage_of_this_project_sees_its_helpers() -> None:
    drawn = fingerprint("tasks.report.draw").code
    assert "tasks/report/figures/canvas.py" in drawn
    assert "tasks/model/train.py" not in drawn
    trained = fingerprint("tasks.model.train").code
    assert {"tasks/model/network.py", "tasks/data/dataset.py"} <= set(trained)
    assert not any(path.startswith("tasks/report/") for path in trained)


@pytest.fixture
def kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is kept of `network`, after a first reading."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    fingerprint("tasks.model.train", project)
    (place,) = project.glob("tasks/model/__pycache__/network.*")
    return place


def again(project: Path) -> dict[str, str]:
    """The digests as another process finds them."""
    module.read_module.cache_clear()
    return fingerprint("tasks.model.train", project).code


def anew(project: Path, folder: Path) -> dict[str, str]:
    """The digests of a copy of which nothing is kept."""
    shutil.copytree(project / "tasks", folder / "tasks", ignore=lambda *_: {"__pycache__"})
    return fingerprint("tasks.model.train", folder).code


@pytest.mark.usefixtures("kept")
def test_what_is_kept_is_not_parsed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = again(project)
    monkeypatch.setattr(module, "parse_module", None)  # to call it would fail
    assert again(project) == before
    # A version of Python or of this code that makes something else of a text.
    monkeypatch.setattr(module, "parser_version", lambda: b"another")
    with pytest.raises(TypeError):
        again(project)


def test_an_edit_is_seen_whatever_is_kept(project: Path, kept: Path, tmp_path: Path) -> None:
    module = project / "tasks/model/network.py"
    status, before = module.stat(), again(project)
    edit(module, "return 1", "return 2")
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(kept)
    after = again(project)
    assert after == anew(project, tmp_path / "copy")
    assert after != before


@pytest.mark.parametrize("damage", ["empty", "half", "digit", "zeros", "folder"])
def test_what_is_kept_and_damaged_is_made_again(
    project: Path, kept: Path, tmp_path: Path, damage: str
) -> None:
    content = kept.read_bytes()
    digest = content.index(b'"digest": "') + len(b'"digest": "')
    flipped = b"0" if content[digest : digest + 1] != b"0" else b"1"
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "digit": content[:digest] + flipped + content[digest + 1 :],
        "zeros": bytes(len(content)),
    }
    if damage == "folder":
        kept.unlink()
        kept.mkdir()
    else:
        kept.write_bytes(damaged[damage])
    assert again(project) == anew(project, tmp_path / "copy")
    if damage != "folder":
        assert kept.read_bytes() == content


def test_a_module_that_moves_takes_nothing_along(project: Path, kept: Path) -> None:
    """The same text imports other modules from another package."""
    for package in ("model", "data"):
        (project / "tasks" / package / "same.py").write_text("from . import network, dataset\n")
    fingerprint("tasks.model.same", project)
    (place,) = kept.parent.glob("same.*")
    target = project / "tasks/data/__pycache__" / place.name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(place, target)
    module.read_module.cache_clear()
    assert "tasks/data/dataset.py" in fingerprint("tasks.data.same", project).code


def test_nothing_is_kept_where_python_may_keep_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    fingerprint("tasks.model.train", project)
    assert not list(project.rglob("__pycache__"))
