"""The digest of a stage's code: what changes it, and what doesn't."""

from pathlib import Path

import pytest

from tasks.fingerprint import MACHINERY, PROJECT, code_digests, module_path

SOURCES = {
    "tasks/__init__.py": "",
    "tasks/model/__init__.py": "",
    "tasks/model/train.py": """
        from tasks.model import network
        import tasks.data.dataset as dataset

        def train():
            from ..report.words import say
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
    "tasks/report/words.py": "def say():\n    return 3\n",
    "tasks/report/unused.py": "import tasks.model.train\n",
    "tasks/settings.py": "class NetworkSettings:\n    pass\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
    return tmp_path


def dedent(source: str) -> str:
    lines = source.split("\n")
    return "\n".join(line.removeprefix("        ") for line in lines)


def edit(path: Path, old: str, new: str) -> None:
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))


def test_imports_are_followed_wherever_they_stand(project: Path) -> None:
    digests = code_digests("tasks.model.train", project)
    assert set(digests) == {
        "tasks/__init__.py",
        "tasks/data/__init__.py",
        "tasks/data/dataset.py",
        "tasks/model/__init__.py",
        "tasks/model/network.py",
        "tasks/model/train.py",
        "tasks/report/__init__.py",
        "tasks/report/words.py",
    }


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tasks/model/network.py", "return 1", "return 10"),
        ("tasks/data/dataset.py", "return 2", "return 20"),
        ("tasks/report/words.py", "return 3", "return '3'"),
        ("tasks/model/__init__.py", "", "import os\n"),
    ],
)
def test_editing_a_helper_changes_its_digest_alone(
    project: Path, name: str, old: str, new: str
) -> None:
    before = code_digests("tasks.model.train", project)
    edit(project / name, old, new)
    after = code_digests("tasks.model.train", project)
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
    before = code_digests("tasks.model.train", project)
    edit(project / "tasks/model/network.py", old, new)
    assert code_digests("tasks.model.train", project) == before


def test_modules_beside_the_stage_change_nothing(project: Path) -> None:
    before = code_digests("tasks.model.train", project)
    edit(project / "tasks/settings.py", "pass", "seed = 1")
    edit(project / "tasks/report/unused.py", "train", "network")
    assert code_digests("tasks.model.train", project) == before


def test_machinery_is_still_where_its_names_say() -> None:
    assert all(module_path(name, PROJECT) for name in MACHINERY)


def test_a_stage_of_this_project_sees_its_helpers() -> None:
    drawn = code_digests("tasks.report.draw")
    assert "tasks/report/figures/canvas.py" in drawn
    assert "tasks/model/train.py" not in drawn
    trained = code_digests("tasks.model.train")
    assert {"tasks/model/network.py", "tasks/data/dataset.py"} <= set(trained)
    assert not any(path.startswith("tasks/report/") for path in trained)
