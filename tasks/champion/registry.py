"""Registries of champions in the artifact root.

    champion/0001-<first 12 of the model's SHA-256>/   one promotion or rollback; never changed
        model.keras  model.onnx  calibration.safetensors
        record.json
    champion/current -> 0007-…                          the one in use
    champion/.new/                                      being written
    champions/<name>/…                                  the same, for --champion NAME

Replacing `current` changes model, record, history and pointer in one step: a reader gets a complete
model at every moment. Folders with a higher number than the current one are not in use: a writer
was killed, or the pointer was set back by hand. They are never deleted, and the next number is
higher than theirs. The history consists of the folders up to the current number. A rollback adds
a new number with a copy of an old model, so that the history only grows. storage.py reads and
writes all this, in a folder or at a URL.
"""

import datetime
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from tasks.champion.storage import ChampionStorage, open_storage, overtaken
from tasks.data.dataset import numbered_classes
from tasks.engine.layout import CHAMPION, CHAMPIONS
from tasks.engine.models import FileRef, Record, file_refs, with_paths
from tasks.engine.remote import RemoteError
from tasks.engine.store import Store, disk_errors
from tasks.records import Calibration, Shape
from tasks.runtime.errors import PipelineError
from tasks.settings.run import CHAMPION_NAME, DEFAULT_CHAMPION
from tasks.words import percent

T = TypeVar("T")
AT_A_TIME = 8
"""Champions that are read at the same time; at a URL, reading is waiting."""

Ground = Literal["dark", "light", "mixed"]
"""Brightness of the pixels around the object in the images of a data set."""

MAX_IMAGES = 2**32
"""Upper bound of the number of images of a split: IDX counts with 32 bits."""


class DamagedError(PipelineError):
    """A champion's record or files are missing or damaged."""


class Accuracy(Record):
    """Accuracy of a model on a split, with the digest of the split."""

    correct: int = Field(ge=0, le=MAX_IMAGES)
    total: int = Field(ge=1, le=MAX_IMAGES)
    data: str
    """SHA-256 of the split."""

    @property
    def percent(self) -> str:
        """Return the accuracy in percent with two decimals, e.g. `98.80 %`."""
        return percent(self.correct / self.total)


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
    mnist: bool = False
    """Whether the training images are MNIST's; False in records of earlier versions."""
    class_names: tuple[str, ...] = ()
    """In the order of the classes; empty in records of earlier versions."""

    def named_classes(self) -> tuple[str, ...]:
        """Return the names of the classes; their numbers in records of earlier versions."""
        return self.class_names or numbered_classes(self.shape.classes)


class Champion(Record):
    """Content of `record.json`: a model with the reason for its promotion."""

    id: str
    """Number and first 12 digits of the model's SHA-256; also the name of its folder."""
    action: Literal["promoted", "rolled back"]
    model: FileRef
    calibration: FileRef | None = None
    """File of the stage `calibrate` for the model; None in records of earlier versions."""
    onnx: FileRef | None = None
    """The model with its calibration as ONNX; None in records of earlier versions."""
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
    """One registry of an artifact root. Reading takes no lock and writes nothing."""

    store: Store
    name: str = DEFAULT_CHAMPION

    @property
    def path(self) -> str:
        """Return the folder of the registry, relative to the artifact root."""
        return CHAMPION if self.name == DEFAULT_CHAMPION else f"{CHAMPIONS}/{self.name}"

    @property
    def address(self) -> str:
        """Return the folder or URL of the registry, for messages."""
        return f"{self.store.address}/{self.path}"

    @property
    def folder(self) -> Path:
        """Return the folder of the registry on this machine.

        Raises:
            PipelineError: it is a symbolic link, which may lead out of the root.
        """
        return self.store.inside(self.path)

    @property
    def pointer(self) -> Path:
        """Return the path of the symbolic link to the current champion."""
        return self.folder / "current"

    @property
    def storage(self) -> ChampionStorage:
        """Return the storage of the registry."""
        return open_storage(self.store, self.path)

    @property
    def options(self) -> str:
        """Return the options that choose this registry on a command line."""
        return "" if self.name == DEFAULT_CHAMPION else f" --champion {self.name}"

    @property
    def advice(self) -> str:
        """Return the last part of a message about a wrong champion."""
        return f"see `python flows/retrain.py history{self.options}`"

    def current_name(self) -> str | None:
        """Return the id of the current champion, or None if there is none.

        Raises:
            PipelineError: the pointer names no champion.
        """
        return self.storage.current()

    def names(self) -> list[str]:
        """Return the ids of all champions by number."""
        return sorted(self.storage.names(), key=number_of)

    def history(self) -> list[str]:
        """Return the ids up to the current champion, oldest first."""
        current = self.current_name()
        if current is None:
            return self.names()  # the pointer was removed by hand
        return [n for n in self.names() if n == current or number_of(n) < number_of(current)]

    def read(self, name: str) -> Champion:
        """Return one champion after checking its files.

        Raises:
            DamagedError: its record or one of its files is missing or damaged.
        """
        champion = self.read_record(name)
        if problem := self.problem(champion):
            raise DamagedError(f"champion {name}: {problem}")
        return champion

    def problem(self, champion: Champion) -> str | None:
        """Return what is wrong with the files of a champion, or None."""
        for problem in filter(None, map(self.store.problem, file_refs(champion))):
            return problem.replace("output", "model")
        return None

    def read_record(self, name: str) -> Champion:
        """Return the record of a champion without checking its files.

        Raises:
            DamagedError: it is missing or damaged.
        """
        try:
            champion = Champion.model_validate_json(self.read_content(name))
        except ValidationError as error:
            raise DamagedError(f"champion {name}: record damaged") from error
        if champion.id != name:
            raise DamagedError(f"champion {name}: record of another one, {champion.id}")
        return champion

    def read_content(self, name: str) -> bytes:
        """Return the content of a champion's record.

        Raises:
            DamagedError: it is missing.
        """
        try:
            return self.storage.read_record(name)
        except RemoteError:
            raise  # the network fails; the champion may be intact
        except PipelineError as error:  # a symbolic link
            raise DamagedError(f"champion {name}: {error}") from error
        except FileNotFoundError as error:
            raise DamagedError(f"champion {name}: record: no such file or directory") from error
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise DamagedError(f"champion {name}: record: {reason}") from error

    def readable(self) -> list[Champion]:
        """Return the readable records of the history, oldest first."""

        def read(name: str) -> Champion | None:
            try:
                return self.read_record(name)
            except DamagedError:
                return None

        return [champion for champion in at_once(read, self.history()) if champion]

    def withdrawn(self) -> set[str]:
        """Return the short digests of the models that a rollback has withdrawn."""
        return withdrawn_by(self.readable())

    def find(self) -> Lookup:
        """Return the current champion; if damaged, the newest intact one before it.

        Champions that were withdrawn, or trained on data of another kind, do not stand in.
        """
        current = self.current_name()
        if current is None:
            return Lookup(None)
        found = self.find_from(current)
        if found.problems and (newer := self.current_name()) not in (current, None):
            return self.find_from(newer)  # replaced while it was read
        return found

    def find_from(self, current: str) -> Lookup:
        """Return a champion or its replacement, whether or not it is still the current one."""
        try:
            return Lookup(self.read(current))
        except DamagedError as error:
            problems = [str(error)]
        withdrawn = self.withdrawn()
        for name in reversed(self.history()):
            if name == current or short_digest_of(name) in withdrawn:
                continue
            try:
                if self.can_replace(name, current):
                    return Lookup(self.read(name), tuple(problems))
            except DamagedError as error:
                problems.append(str(error))
        return Lookup(None, tuple(problems))

    def can_replace(self, name: str, current: str) -> bool:
        """Return whether a champion may stand in for the damaged current one.

        True if the record of the current one is damaged too: its data are then unknown.

        Raises:
            DamagedError: the record of the champion is missing or damaged.
        """
        facts = self.read_record(name).facts
        try:
            known = self.read_record(current).facts
        except DamagedError:
            return True
        same_images = facts.test.data == known.test.data
        return facts.shape == known.shape and (same_images or facts.source == known.source)

    def best(self, data: str) -> int:
        """Return the largest number of correct images of a champion on a validation split."""
        champions = self.readable()
        withdrawn = withdrawn_by(champions)
        return max(
            (
                champion.facts.validation.correct
                for champion in champions
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
        calibration: Calibration | None = None,
    ) -> Champion:
        """Copy a model into the registry and make it the current champion.

        Args:
            model: file below the artifact root.
            facts: facts about the model.
            by: flow run or user that asks for it.
            why: reason in one sentence.
            expected_current: result of `current_name` when the decision was made.
            calibration: result of the stage `calibrate` for this model.

        Raises:
            PipelineError: the disk fails, or another champion was promoted in the meantime and
                stays.
        """
        champion = Champion(
            id="",
            action="promoted",
            model=model,
            calibration=calibration.file if calibration else None,
            onnx=calibration.onnx if calibration else None,
            facts=facts,
            by=by,
            when="",
            why=why,
            replaced=None,
        )
        return self.commit(champion, expected_current)

    def rollback(self, to: str | None, by: str) -> Champion:
        """Make an earlier champion current again and withdraw the present one.

        Args:
            to: number, id or short digest, or the beginning of one; None: the previous one.
            by: flow run or user that asks for it.

        Raises:
            PipelineError: there is no such champion, or it is damaged.
        """
        current = self.current_name()
        if not self.names():
            raise PipelineError(
                f"rollback: no champion in {self.address} yet; `python flows/retrain.py history`"
                " lists all"
            )
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
        changes = {"action": "rolled back", "by": by, "why": why}
        return self.commit(champion.model_copy(update=changes), current)

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
                f"rollback --to {wanted}: {len(found) or 'no'} champions match; {self.advice}"
            )
        return next(filter(self.is_intact, reversed(found)), found[-1])

    def previous(self, current: str | None) -> str:
        """Return the newest intact champion with another model, without the withdrawn ones."""
        withdrawn = self.withdrawn()
        for name in reversed(self.history()):
            other = current is None or short_digest_of(name) != short_digest_of(current)
            if other and short_digest_of(name) not in withdrawn and self.is_intact(name):
                return name
        raise PipelineError(f"rollback: there is no champion before {current}; {self.advice}")

    def is_intact(self, name: str) -> bool:
        """Return whether record and files of a champion are intact."""
        try:
            self.read(name)
        except DamagedError:
            return False
        return True

    def commit(self, champion: Champion, expected_current: str | None) -> Champion:
        """Copy all files of a champion to a new folder, then make it current.

        Args:
            champion: the record to write; gets a new id, time and `replaced`.
            expected_current: result of `current_name` when the decision was made.
        """
        with disk_errors("champion", self.folder), self.storage.writing():
            if (current := self.current_name()) != expected_current:
                raise overtaken(current)
            used = [*self.names(), *([current] if current else [])]
            number = 1 + max(map(number_of, used), default=0)
            name = f"{number:04}-{champion.model.sha256[:12]}"

            def path(file: FileRef) -> str:
                model = file == champion.model
                return f"{self.path}/{name}/{'model.keras' if model else file.name}"

            when = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            changes = {"id": name, "when": when, "replaced": current}
            content = with_paths(champion.model_dump(mode="json") | changes, path)
            new = Champion.model_validate(content)
            files = dict(zip(file_refs(champion), file_refs(new), strict=True))
            self.storage.add(name, files, new.model_dump_json(indent=1).encode())
            self.storage.point_at(name, current)
        return new


def registry_names(store: Store) -> list[str]:
    """Return the names of the registries in an artifact root, the default one first."""
    found = [name for name in store.folders(CHAMPIONS) if re.fullmatch(CHAMPION_NAME, name)]
    default = [DEFAULT_CHAMPION] if CHAMPION in store.folders("") else []
    return default + [name for name in found if name != DEFAULT_CHAMPION]


def at_once(read: Callable[[str], T], names: Iterable[str]) -> list[T]:
    """Return the results of a function for some champions, in their order."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(read, names))


def withdrawn_by(champions: list[Champion]) -> set[str]:
    """Return the short digests of the models that a rollback has withdrawn.

    Args:
        champions: history, oldest first.
    """
    digits: set[str] = set()
    for champion in champions:
        if champion.action == "rolled back" and champion.replaced:
            digits.add(short_digest_of(champion.replaced))
        digits.discard(champion.short_digest)
    return digits


def history_lines(champions: Champions) -> list[str]:
    """Return a line for each champion, oldest first; `*` marks the current one."""
    current = champions.current_name()

    def line(name: str) -> str:
        mark = "*" if name == current else " "
        try:
            champion = champions.read_record(name)
        except DamagedError as error:
            return f"{mark} {error}"
        facts, damaged = champion.facts, champions.problem(champion)
        return (
            f"{mark} {name}  {champion.when}  validation {facts.validation.percent}"
            f"  test {facts.test.percent}  {champion.action} by {champion.by}: {champion.why}"
            + (f"  ({damaged})" if damaged else "")
        )

    return at_once(line, champions.history()) or [f"no champion in {champions.address} yet"]
