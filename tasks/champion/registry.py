"""Registry of champions in the artifact root.

    champion/0001-<first 12 of the model's SHA-256>/   one promotion or rollback; never changed
        model.keras
        calibration.safetensors                         see the stage `calibrate`
        record.json
    champion/current -> 0007-…                          the one in use
    champion/.new/                                      being written

Renaming `current` changes model, record, history and pointer in one step: a reader gets a complete
model at every moment. Folders with a higher number than the current one are not in use: a writer
was killed, or the pointer was set back by hand. They are never deleted, and the next number is
higher than theirs. The history consists of the folders up to the current number. A rollback adds
a new number with a copy of an old model, so that the history only grows.
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
Ground = Literal["dark", "light", "mixed"]
"""Brightness of the pixels around the object in the images of a data set."""

CALIBRATION = "calibration.safetensors"
HISTORY = "see `python flows/retrain.py history`"


class Accuracy(Record):
    """Accuracy of a model on a split, with the digest of the split."""

    correct: int
    total: int
    data: str
    """SHA-256 of the split."""


class Facts(Record):
    """Facts about a promoted model: data, accuracies, settings, versions."""

    shape: Shape
    validation: Accuracy
    test: Accuracy
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that trained it."""
    versions: dict[str, str] = Field(default_factory=dict)
    source: str = ""
    """Source of the data, as `download` records it; empty in records of earlier versions."""
    train: str = ""
    """SHA-256 of the training split; empty in records of earlier versions."""
    ground: Ground | None = None
    """Ground of the images; None in records of earlier versions."""


class Champion(Record):
    """Content of `record.json`: a model with the reason for its promotion."""

    id: str
    """Number and first 12 digits of the model's SHA-256; also the name of its folder."""
    action: Literal["promoted", "rolled back"]
    model: FileRef
    calibration: FileRef | None = None
    """None in records of earlier versions."""
    facts: Facts
    by: str
    """Flow run or user that promoted it."""
    when: str
    """ISO 8601 with time zone."""
    why: str
    replaced: str | None
    """Id of the previous champion."""

    @property
    def number(self) -> int:
        """Return the number in the history, from 1."""
        return number_of(self.id)

    @property
    def short_digest(self) -> str:
        """Return the first 12 digits of the model's SHA-256."""
        return short_digest_of(self.id)


def number_of(name: str) -> int:
    """Return the number in a champion's id."""
    return int(name.partition("-")[0])


def short_digest_of(name: str) -> str:
    """Return the digits of the model's SHA-256 in a champion's id."""
    return name.partition("-")[2]


@dataclass(frozen=True)
class Lookup:
    """The newest usable champion, and the problems with those before it in line."""

    champion: Champion | None
    """None if there is no usable champion."""
    problems: tuple[str, ...] = ()
    """One line for each champion that had to be skipped."""


@dataclass(frozen=True)
class Champions:
    """Champions of an artifact root. Reading takes no lock and writes nothing."""

    store: Store

    def __post_init__(self) -> None:
        self.store.must_be_local("the champion", "flows/pipeline.py takes a URL")

    @property
    def folder(self) -> Path:
        """Return the folder of the champions.

        Raises:
            PipelineError: it is a symbolic link, which may lead out of the root.
        """
        return self.store.inside("champion")

    @property
    def pointer(self) -> Path:
        """Return the path of the symbolic link to the current champion."""
        return self.folder / "current"

    def current_name(self) -> str | None:
        """Return the id of the current champion, or None if there is none.

        Raises:
            PipelineError: `current` is not a symbolic link to a champion.
        """
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
        """Return the names of all champion folders by number."""
        folder = self.folder
        try:
            names = [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise PipelineError(f"{folder}: {reason}; move it away or restore it") from error
        return sorted(filter(NAME.fullmatch, names), key=number_of)

    def history(self) -> list[str]:
        """Return the ids up to the current champion, oldest first."""
        current = self.current_name()
        if current is None:
            return self.names()  # the pointer was removed by hand
        return [name for name in self.names() if number_of(name) <= number_of(current)]

    def read(self, name: str) -> Champion:
        """Return one champion after checking its model.

        Raises:
            PipelineError: its record or its model is missing or damaged.
        """
        champion = self.read_record(name)
        if problem := self.store.problem(champion.model):
            raise PipelineError(f"champion {name}: {problem.replace('output', 'model')}")
        return champion

    def read_record(self, name: str) -> Champion:
        """Return the record of a champion without checking its model.

        Raises:
            PipelineError: it is missing or damaged.
        """
        try:
            content = self.store.inside(f"champion/{name}/record.json").read_bytes()
            champion = Champion.model_validate_json(content)
        except PipelineError as error:  # a symbolic link
            raise PipelineError(f"champion {name}: {error}") from error
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise PipelineError(f"champion {name}: record: {reason}") from error
        except ValidationError as error:
            raise PipelineError(f"champion {name}: record damaged") from error
        if champion.id != name:
            raise PipelineError(f"champion {name}: record of another one, {champion.id}")
        return champion

    def readable(self) -> list[Champion]:
        """Return the readable records of the history, oldest first."""
        found = []
        for name in self.history():
            try:
                found.append(self.read_record(name))
            except PipelineError:
                continue
        return found

    def withdrawn(self) -> set[str]:
        """Return the short digests of the models that a rollback has withdrawn."""
        digits: set[str] = set()
        for champion in self.readable():
            if champion.action == "rolled back" and champion.replaced:
                digits.add(short_digest_of(champion.replaced))
            digits.discard(champion.short_digest)
        return digits

    def find(self) -> Lookup:
        """Return the current champion; if damaged, the newest intact one before it.

        Champions that were withdrawn, or trained on data of another kind, do not stand in.
        """
        current = self.current_name()
        if current is None:
            return Lookup(None)
        withdrawn = self.withdrawn()
        earlier = [name for name in self.history() if name != current]
        problems: list[str] = []
        for name in [current, *reversed(earlier)]:
            if name != current and short_digest_of(name) in withdrawn:
                continue
            try:
                if name == current or self.can_replace(name, current):
                    return Lookup(self.read(name), tuple(problems))
            except PipelineError as error:
                problems.append(str(error))
        return Lookup(None, tuple(problems))

    def can_replace(self, name: str, current: str) -> bool:
        """Return whether a champion may stand in for the damaged current one.

        True if the record of the current one is damaged too: its data are then unknown.

        Raises:
            PipelineError: the record of the champion is missing or damaged.
        """
        facts = self.read_record(name).facts
        try:
            known = self.read_record(current).facts
        except PipelineError:
            return True
        same_images = facts.test.data == known.test.data
        return facts.shape == known.shape and (same_images or facts.source == known.source)

    def best(self, data: str) -> int:
        """Return the largest number of correct images of a champion on a validation split."""
        withdrawn = self.withdrawn()
        return max(
            (
                champion.facts.validation.correct
                for champion in self.readable()
                if champion.facts.validation.data == data and champion.short_digest not in withdrawn
            ),
            default=0,
        )

    def promote(
        self,
        model: FileRef,
        facts: Facts,
        by: str,
        why: str,
        expected_current: str | None,
        calibration: FileRef | None = None,
    ) -> Champion:
        """Copy a model into the registry and make it the current champion.

        Args:
            model: file below the artifact root.
            facts: facts about the model.
            by: flow run or user that asks for it.
            why: reason in one sentence.
            expected_current: result of `current_name` when the decision was made.
            calibration: file of the stage `calibrate` for this model.

        Raises:
            PipelineError: the disk fails, or another champion was promoted in the meantime and
                stays.
        """
        return self.commit("promoted", model, calibration, facts, by, why, expected_current)

    def rollback(self, to: str | None, by: str) -> Champion:
        """Make an earlier champion current again and withdraw the present one.

        Args:
            to: number, id or short digest, or the beginning of one; None: the previous one.
            by: flow run or user that asks for it.

        Raises:
            PipelineError: there is no such champion, or it is damaged.
        """
        current = self.current_name()
        name = self.resolve(to) if to else self.previous(current)
        champion = self.read(name)
        if (
            current is not None
            and champion.short_digest == short_digest_of(current)
            and self.is_intact(current)
        ):
            raise PipelineError(f"rollback: {champion.id} is the current model already ({current})")
        why = f"rolled back from {current}" if current else "put into use by hand"
        why = f"{why} to {name}"
        files = champion.model, champion.calibration
        return self.commit("rolled back", *files, champion.facts, by, why, current)

    def resolve(self, wanted: str) -> str:
        """Return the newest champion that a number, id or short digest matches."""

        def matches(name: str) -> bool:
            return (
                name.startswith(wanted)
                or short_digest_of(name).startswith(wanted)
                or (wanted.isdecimal() and int(wanted) == number_of(name))
            )

        found = [name for name in self.history() if matches(name)]
        if len({short_digest_of(name) for name in found}) != 1:
            raise PipelineError(
                f"rollback --to {wanted}: {len(found) or 'no'} champions match; {HISTORY}"
            )
        return next(filter(self.is_intact, reversed(found)), found[-1])

    def previous(self, current: str | None) -> str:
        """Return the newest intact champion with another model, without the withdrawn ones."""
        withdrawn = self.withdrawn()
        for name in reversed(self.history()):
            other = current is None or short_digest_of(name) != short_digest_of(current)
            if other and short_digest_of(name) not in withdrawn and self.is_intact(name):
                return name
        raise PipelineError(f"rollback: there is no champion before {current}; {HISTORY}")

    def is_intact(self, name: str) -> bool:
        """Return whether record and model of a champion are intact."""
        try:
            self.read(name)
        except PipelineError:
            return False
        return True

    def commit(
        self,
        action: Literal["promoted", "rolled back"],
        model: FileRef,
        calibration: FileRef | None,
        facts: Facts,
        by: str,
        why: str,
        expected_current: str | None,
    ) -> Champion:
        """Write the folder of a champion, then make it current."""
        locks = self.store.inside("locks")
        with disk_errors("champion", self.folder):
            locks.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True)
            with self.store.lock("champion").acquire():
                if (current := self.current_name()) != expected_current:
                    raise PipelineError(
                        f"champion: {current} was promoted in the meantime; run it again"
                    )
                used = [*self.names(), *([current] if current else [])]
                number = 1 + max(map(number_of, used), default=0)
                name = f"{number:04}-{model.sha256[:12]}"
                if calibration and self.store.problem(calibration):
                    calibration = None  # damaged; the model is of use without it
                champion = Champion(
                    id=name,
                    action=action,
                    model=file_of(name, model, "model.keras"),
                    calibration=calibration and file_of(name, calibration, CALIBRATION),
                    facts=facts,
                    by=by,
                    when=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                    why=why,
                    replaced=current,
                )
                shutil.rmtree(self.store.inside("champion/.new"), ignore_errors=True)
                self.write(champion, model, calibration)
                self.point_at(name)
        return champion

    def write(self, champion: Champion, model: FileRef, calibration: FileRef | None) -> None:
        """Write the folder of a champion and flush it to the disk.

        Args:
            champion: its record.
            model: file to copy.
            calibration: file to copy, if there is one.

        Raises:
            PipelineError: the copy differs from the model.
        """
        new = self.folder / ".new"
        new.mkdir()
        try:
            shutil.copyfile(self.store.path(model), new / "model.keras")
            if calibration:
                shutil.copyfile(self.store.path(calibration), new / CALIBRATION)
            (new / "record.json").write_text(champion.model_dump_json(indent=1), encoding="utf-8")
            self.check_copy(champion.model)
            for path in (*new.iterdir(), new):
                flush(path)
            new.rename(self.folder / champion.id)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        flush(self.folder)

    def check_copy(self, model: FileRef) -> None:
        """Check the digest of the copied model.

        Raises:
            PipelineError: it differs from the model's.
        """
        copy = model.model_copy(update={"path": "champion/.new/model.keras"})
        if problem := self.store.problem(copy):
            raise PipelineError(
                f"champion: {problem.replace('output', 'challenger')}; run it again"
            )

    def point_at(self, name: str) -> None:
        """Replace the link `current` atomically."""
        link = self.folder / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(name, target_is_directory=True)
        link.replace(self.pointer)
        flush(self.folder)


def file_of(champion: str, file: FileRef, name: str) -> FileRef:
    """Return a file as it lies in the folder of a champion."""
    return file.model_copy(update={"path": f"champion/{champion}/{name}"})


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def history_lines(champions: Champions) -> list[str]:
    """Return a line for each champion, oldest first; `*` marks the current one."""
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
    """Return an accuracy in percent with two decimals."""
    return f"{accuracy.correct / accuracy.total:.2%}"
