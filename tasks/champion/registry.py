"""Champions on disk, and which one is in use.

    champion/0001-<first 12 of the model's SHA-256>/   one promotion or rollback; never changed
        model.keras
        record.json
    champion/current -> 0007-…                          the one in use
    champion/.new/                                      being written

Model, record, history and pointer change in one step, the renaming of `current`: whoever opens
it, at any moment, gets a whole model. Folders above the number that it points at are not in use:
a writer was killed, or somebody set the pointer back. They are never deleted, and the next number
is above theirs. The history is the folders up to the number in use. A rollback is a
new number with a copy of an old model, so that nothing is ever taken out of the history.
"""

import datetime
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tasks.engine.models import FileRef, Record
from tasks.engine.store import Store, disk_errors
from tasks.records import Shape
from tasks.runtime.errors import PipelineError

NAME = re.compile(r"(\d{4,})-([0-9a-f]{12})")
HISTORY = "see `python flows/retrain.py history`"


class Accuracy(Record):
    """How many images of a split a model has right, and which images these were."""

    correct: int
    total: int
    data: str
    """SHA-256 of the split."""


class Facts(Record):
    """What is known of a model that was promoted."""

    shape: Shape
    validation: Accuracy
    test: Accuracy
    settings: dict[str, Any] = Field(default_factory=dict)
    """Those that it was trained with."""
    versions: dict[str, str] = Field(default_factory=dict)


class Champion(Record):
    """The file `record.json`: a model, and how it came to be in use."""

    id: str
    """Number and the first digits of the model's digest; the name of its folder."""
    action: Literal["promoted", "rolled back"]
    model: FileRef
    facts: Facts
    by: str
    """Who: a flow run, or a user."""
    when: str
    """ISO 8601 with time zone."""
    why: str
    replaced: str | None
    """Id of the champion before."""

    @property
    def number(self) -> int:
        return number_of(self.id)

    @property
    def digits(self) -> str:
        """The first digits of the model's digest."""
        return digits_of(self.id)


def number_of(name: str) -> int:
    return int(name.partition("-")[0])


def digits_of(name: str) -> str:
    return name.partition("-")[2]


@dataclass(frozen=True)
class Found:
    """The champion that can be used."""

    champion: Champion | None
    """None if there is none."""
    faults: tuple[str, ...] = ()
    """What is wrong with those that should have been used before it."""


@dataclass(frozen=True)
class Champions:
    """The champions of an artifact root. Reading takes no lock and writes nothing."""

    store: Store

    def __post_init__(self) -> None:
        self.store.must_be_local("the champion", "flows/pipeline.py takes a URL")

    @property
    def folder(self) -> Path:
        return self.store.root / "champion"

    @property
    def pointer(self) -> Path:
        return self.folder / "current"

    def current_name(self) -> str | None:
        """What the pointer says; None if there is no champion."""
        try:
            target = self.pointer.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PipelineError(
                f"{self.pointer}: not a symbolic link to a champion ({error.strerror}); remove it,"
                f" and choose a champion with `python flows/retrain.py rollback --to ID`"
            ) from error
        if str(target) != target.name or not NAME.fullmatch(target.name):
            raise PipelineError(
                f"{self.pointer}: names {str(target)!r}, which is no champion; remove it, and"
                f" choose a champion with `python flows/retrain.py rollback --to ID`"
            )
        return target.name

    def names(self) -> list[str]:
        """Every folder with a champion's name, by number."""
        if not self.folder.is_dir():
            return []
        return sorted(
            (path.name for path in self.folder.iterdir() if NAME.fullmatch(path.name)),
            key=number_of,
        )

    def history(self) -> list[str]:
        """Ids up to the one in use, oldest first."""
        current = self.current_name()
        if current is None:
            return self.names()  # the pointer was removed by hand
        return [name for name in self.names() if number_of(name) <= number_of(current)]

    def read(self, name: str) -> Champion:
        """One champion, with its model checked.

        Raises:
            PipelineError: its record or its model is missing or damaged.
        """
        champion = self.read_record(name)
        if fault := self.store.problem(champion.model):
            raise PipelineError(f"champion {name}: {fault.replace('output', 'model')}")
        return champion

    def read_record(self, name: str) -> Champion:
        """The record of a champion, whatever has become of its model.

        Raises:
            PipelineError: it is missing or damaged.
        """
        try:
            content = (self.folder / name / "record.json").read_bytes()
            champion = Champion.model_validate_json(content)
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise PipelineError(f"champion {name}: record: {reason}") from error
        except ValidationError as error:
            raise PipelineError(f"champion {name}: record damaged") from error
        if champion.id != name:
            raise PipelineError(f"champion {name}: record of another one, {champion.id}")
        return champion

    def readable(self) -> list[Champion]:
        """The records in the history that can be read, oldest first."""
        found = []
        for name in self.history():
            try:
                found.append(self.read_record(name))
            except PipelineError:
                continue
        return found

    def withdrawn(self) -> set[str]:
        """First digits of the models that a rollback has taken out of use."""
        digits: set[str] = set()
        for champion in self.readable():
            if champion.action == "rolled back" and champion.replaced:
                digits.add(digits_of(champion.replaced))
            digits.discard(champion.digits)
        return digits

    def find(self) -> Found:
        """The champion in use; if it is damaged, the newest one before it that is not."""
        current = self.current_name()
        if current is None:
            return Found(None)
        withdrawn = self.withdrawn()
        earlier = [name for name in self.history() if name != current]
        faults: list[str] = []
        for name in [current, *reversed(earlier)]:
            if name != current and digits_of(name) in withdrawn:
                continue
            try:
                return Found(self.read(name), tuple(faults))
            except PipelineError as error:
                faults.append(str(error))
        return Found(None, tuple(faults))

    def best(self, data: str) -> int:
        """Most validation images that a champion had right, of the split with this digest."""
        withdrawn = self.withdrawn()
        return max(
            (
                champion.facts.validation.correct
                for champion in self.readable()
                if champion.facts.validation.data == data and champion.digits not in withdrawn
            ),
            default=0,
        )

    def promote(
        self, model: FileRef, facts: Facts, by: str, why: str, instead_of: str | None
    ) -> Champion:
        """Copy a model here and put it into use.

        Args:
            model: file below the artifact root.
            facts: about it.
            by: who wants it.
            why: in one sentence.
            instead_of: what `current_name` said when this was decided.

        Raises:
            PipelineError: the disk fails, or somebody else has put another champion into use
                in the meantime; that one stays.
        """
        return self.commit("promoted", model, facts, by, why, instead_of)

    def rollback(self, to: str | None, by: str) -> Champion:
        """Put an earlier champion back into use; the one in use is withdrawn.

        Args:
            to: number, id or its first digits, or the model's; None for the one before.
            by: who wants it.

        Raises:
            PipelineError: there is no such champion, or it is damaged.
        """
        current = self.current_name()
        name = self.named(to) if to else self.before(current)
        champion = self.read(name)
        if current is not None and champion.digits == digits_of(current) and self.is_whole(current):
            raise PipelineError(f"rollback: {champion.id} is the model in use already ({current})")
        why = f"rolled back from {current}" if current else "put into use by hand"
        why = f"{why} to {name}"
        return self.commit("rolled back", champion.model, champion.facts, by, why, current)

    def named(self, wanted: str) -> str:
        """The newest champion that a user may mean."""

        def is_meant(name: str) -> bool:
            return (
                name.startswith(wanted)
                or digits_of(name).startswith(wanted)
                or (wanted.isdecimal() and int(wanted) == number_of(name))
            )

        found = [name for name in self.history() if is_meant(name)]
        if len({digits_of(name) for name in found}) != 1:
            raise PipelineError(
                f"rollback --to {wanted}: {len(found) or 'no'} champions are called so; {HISTORY}"
            )
        return next(filter(self.is_whole, reversed(found)), found[-1])

    def before(self, current: str | None) -> str:
        """The newest whole champion with another model than the one in use, not withdrawn."""
        withdrawn = self.withdrawn()
        for name in reversed(self.history()):
            other = current is None or digits_of(name) != digits_of(current)
            if other and digits_of(name) not in withdrawn and self.is_whole(name):
                return name
        raise PipelineError(f"rollback: there is no champion before {current}; {HISTORY}")

    def is_whole(self, name: str) -> bool:
        try:
            self.read(name)
        except PipelineError:
            return False
        return True

    def commit(
        self,
        action: Literal["promoted", "rolled back"],
        model: FileRef,
        facts: Facts,
        by: str,
        why: str,
        instead_of: str | None,
    ) -> Champion:
        """Write a folder, and then point at it."""
        locks = self.store.root / "locks"
        with disk_errors("champion", self.folder):
            locks.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
            with self.store.lock("champion").acquire():
                if (current := self.current_name()) != instead_of:
                    raise PipelineError(
                        f"champion: {current} was put into use in the meantime; run it again"
                    )
                number = 1 + max(map(number_of, self.names()), default=0)
                name = f"{number:04}-{model.sha256[:12]}"
                champion = Champion(
                    id=name,
                    action=action,
                    model=model.model_copy(update={"path": f"champion/{name}/model.keras"}),
                    facts=facts,
                    by=by,
                    when=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                    why=why,
                    replaced=current,
                )
                shutil.rmtree(self.folder / ".new", ignore_errors=True)
                self.write(champion, self.store.path(model))
                self.point_at(name)
        return champion

    def write(self, champion: Champion, model: Path) -> None:
        """Write the folder of a champion, on the disk for good when this returns.

        Raises:
            PipelineError: what was copied is not the model.
        """
        new = self.folder / ".new"
        new.mkdir()
        try:
            shutil.copyfile(model, new / "model.keras")
            (new / "record.json").write_text(champion.model_dump_json(indent=1), encoding="utf-8")
            self.check_copy(champion.model)
            for path in (new / "model.keras", new / "record.json", new):
                flush(path)
            new.rename(self.folder / champion.id)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        flush(self.folder)

    def check_copy(self, model: FileRef) -> None:
        """Make sure that what was copied is the model.

        Raises:
            PipelineError: it is not.
        """
        copy = model.model_copy(update={"path": "champion/.new/model.keras"})
        if fault := self.store.problem(copy):
            raise PipelineError(f"champion: {fault.replace('output', 'challenger')}; run it again")

    def point_at(self, name: str) -> None:
        """Let `current` be another champion, in one step."""
        link = self.folder / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(name, target_is_directory=True)
        link.replace(self.pointer)
        flush(self.folder)


def flush(path: Path) -> None:
    """Have the operating system put a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def history_lines(champions: Champions) -> list[str]:
    """A line for each champion, oldest first; `*` marks the one in use."""
    current = champions.current_name()
    lines = []
    for name in champions.history():
        mark = "*" if name == current else " "
        try:
            champion = champions.read_record(name)
        except PipelineError as error:
            lines.append(f"{mark} {error}")
            continue
        facts = champion.facts
        damaged = champions.store.problem(champion.model)
        lines.append(
            f"{mark} {name}  {champion.when}  validation {percent(facts.validation)}"
            f"  test {percent(facts.test)}  {champion.action} by {champion.by}: {champion.why}"
            + (f"  ({damaged.replace('output', 'model')})" if damaged else "")
        )
    return lines or [f"no champion in {champions.folder} yet"]


def percent(accuracy: Accuracy) -> str:
    return f"{accuracy.correct / accuracy.total:.2%}"
