"""Registries of champions in the artifact root.

    champion/history.jsonl           one line for each decision, oldest first
    champion/0007-<12 digits>/       the files of a promoted model; never changed
        model.keras  model.onnx  calibration.safetensors
        history.jsonl                the history up to its promotion
    champions/<name>/…               the same, for --champion NAME

The last champion of the history is the one in use, so replacing the history changes model, record
and pointer in one step: a reader gets a complete model at every moment. A rollback adds a line with
the files of an earlier one, and a challenger that was kept out is a line without files: the history
only grows. If it is lost, a rollback brings back the one in a champion's folder. A folder that no
line names was left by a writer that was killed or came second.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from tasks.champion.records import CHAMPION_ID, LINE, Champion, Facts, KeptOut
from tasks.champion.storage import copy_file, replace, writing
from tasks.engine.layout import CHAMPION, CHAMPIONS
from tasks.engine.models import FileRef
from tasks.engine.store import Store, disk_errors
from tasks.records import Calibration
from tasks.runtime.errors import PipelineError
from tasks.settings.run import CHAMPION_NAME, DEFAULT_CHAMPION

HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Champions:
    """One registry of an artifact root. Reading takes no lock and writes nothing."""

    store: Store
    name: str = DEFAULT_CHAMPION

    @property
    def path(self) -> str:
        """The folder of the registry, relative to the artifact root."""
        return CHAMPION if self.name == DEFAULT_CHAMPION else f"{CHAMPIONS}/{self.name}"

    @property
    def address(self) -> str:
        """The folder or URL of the registry, for messages."""
        return f"{self.store.address}/{self.path}"

    def command(self, command: str) -> str:
        """Return a command for this registry, for messages."""
        name = "" if self.name == DEFAULT_CHAMPION else f" --champion {self.name}"
        return f"`python flows/retrain.py{command and ' '}{command}{name}`"

    def read(self, name: str) -> bytes | None:
        """Return the content of a small file of the registry, or None if there is none."""
        self.store.inside(f"{self.path}/{name}")
        try:
            return self.store.read(f"{self.path}/{name}")
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise PipelineError(f"{self.address}/{name}: {reason}; restore it") from error

    def content(self) -> bytes | None:
        """Return the content of the history, or None if there is none yet."""
        content = self.read(HISTORY)
        if not content and (names := self.names()):
            raise PipelineError(
                f"{self.address}/{HISTORY} is missing or empty, but there are champions; put one"
                f" into use with {self.command(f'rollback --to {names[-1]}')}"
            )
        return content

    def parse(self, content: bytes | None) -> list[Champion | KeptOut]:
        """Return the decisions in the content of a history, oldest first."""
        try:
            return [LINE.validate_json(line) for line in (content or b"").splitlines() if line]
        except ValidationError as error:
            raise PipelineError(
                f"{self.address}/{HISTORY}: damaged, or of another version; move it away, and put a"
                f" champion into use with {self.command('rollback --to ID')}"
            ) from error

    def history(self) -> list[Champion | KeptOut]:
        """Return all decisions, oldest first."""
        return self.parse(self.content())

    def champions(self) -> list[Champion]:
        """Return the history without the challengers that were kept out."""
        return only_champions(self.history())

    def current(self) -> Champion | None:
        """Return the champion in use, or None if there is none yet.

        Raises:
            PipelineError: one of its files is missing or damaged.
        """
        champions = self.champions()
        if champions and (problem := self.problem(champions[-1])):
            raise PipelineError(
                f"champion {champions[-1].id}: {problem}; restore the file, or choose an earlier"
                f" champion with {self.command('rollback')}"
            )
        return champions[-1] if champions else None

    def problem(self, champion: Champion) -> str | None:
        """Return what is wrong with the files of a champion, or None."""
        for problem in filter(None, map(self.store.problem, champion.files)):
            return problem.replace("output", "model")
        return None

    def names(self) -> list[str]:
        """Return the names of the champions' folders by number, named by a line or not."""
        names = self.store.folders(self.path)
        return sorted((n for n in names if re.fullmatch(CHAMPION_ID, n)), key=number_of)

    def promote(
        self,
        model: FileRef,
        calibration: Calibration,
        facts: Facts,
        by: str,
        why: str,
        expected: str | None,
    ) -> Champion:
        """Copy a model and its calibration into the registry, and make it the champion in use.

        `expected` is the id of the champion in use when the decision was made: another decision in
        the meantime is an error.
        """
        files = {"model": model, "onnx": calibration.onnx, "calibration": calibration.file}
        values = {"action": "promoted", "facts": facts, "by": by, "why": why}
        return Champion.model_validate(self.add(values, model.sha256, expected, files))

    def keep_out(
        self, model: FileRef, facts: Facts, by: str, why: str, expected: str | None
    ) -> None:
        """Record a challenger that does not become the champion; see `promote`."""
        values = {"action": "kept out", "facts": facts, "by": by, "why": why}
        self.add(values, model.sha256, expected, {})

    def rollback(self, to: str | None, by: str) -> Champion:
        """Make an earlier champion current again and withdraw the present one.

        Args:
            to: number, id or short digest, or the beginning of one; None: the previous one.
            by: flow run or user that asks for it.

        Raises:
            PipelineError: there is no such champion, or it is damaged.
        """
        if to and not self.read(HISTORY) and (names := self.names()):
            return self.restore(resolve(to, names))
        champions = {champion.id: champion for champion in self.champions()}
        if not champions:
            raise PipelineError(f"rollback: no champion in {self.address} yet")
        *_, current = champions.values()
        chosen = (
            champions[resolve(to, [*champions])] if to else self.previous([*champions.values()])
        )
        if chosen.short_digest == current.short_digest:
            raise PipelineError(f"rollback: {chosen.id} is the model in use already ({current.id})")
        if problem := self.problem(chosen):
            raise PipelineError(f"rollback: champion {chosen.id}: {problem}; choose another")
        why = f"rolled back from {current.id} to {chosen.id}"
        values = dict(chosen) | {"action": "rolled back", "by": by, "why": why}
        return Champion.model_validate(self.add(values, chosen.model.sha256, current.id, {}))

    def previous(self, champions: Sequence[Champion]) -> Champion:
        """Return the newest intact champion with another model, without the withdrawn ones."""
        left_out = {champions[-1].short_digest, *withdrawn(champions)}
        for champion in reversed(champions):
            if champion.short_digest not in left_out and not self.problem(champion):
                return champion
        raise PipelineError(
            f"rollback: there is no champion before {champions[-1].id}; see"
            f" {self.command('history')}"
        )

    def restore(self, name: str) -> Champion:
        """Bring back the history in the folder of a champion."""
        content = self.read(f"{name}/{HISTORY}")
        if not (found := only_champions(self.parse(content))):
            raise PipelineError(f"{self.address}/{name}: no champion of this version; move it away")
        with disk_errors("champion", self.store.root / self.path), writing(self.store, self.path):
            path = f"{self.path}/{HISTORY}"
            if not replace(self.store, path, content or b"", self.read(HISTORY)):
                raise overtaken(name)
        return found[-1]

    def add(
        self,
        values: Mapping[str, object],
        digest: str,
        expected: str | None,
        files: Mapping[str, FileRef],
    ) -> Champion | KeptOut:
        """Add a line to the history, after copying the files of a new champion.

        Args:
            values: fields of the new line.
            digest: SHA-256 of the model.
            expected: id of the champion in use when the decision was made.
            files: further fields of a new champion: the files to copy.
        """
        path, store = f"{self.path}/{HISTORY}", self.store
        with disk_errors("champion", store.root / self.path), writing(store, self.path):
            before = self.content()
            entries = self.parse(before)
            current = next((entry.id for entry in reversed(only_champions(entries))), None)
            if current != expected:
                raise overtaken(current)
            if not before:  # there is a history before there is a champion
                replace(store, path, b"\n", before)
                before = b"\n"
            number = 1 + number_of(entries[-1].id) if entries else 1
            id = f"{number:04}-{digest[:12]}"
            copies = {
                field: file.model_copy(update={"path": f"{self.path}/{id}/{file.name}"})
                for field, file in files.items()
            }
            for field, file in files.items():
                copy_file(store, file, copies[field])
            now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            entry = LINE.validate_python({**values, **copies, "id": id, "when": now})
            content = before + entry.model_dump_json().encode() + b"\n"
            if files:
                replace(store, f"{self.path}/{id}/{HISTORY}", content, None)
            if not replace(store, path, content, before):
                raise overtaken(current)
        return entry


def number_of(id: str) -> int:
    """Return the number in an id."""
    return int(id.partition("-")[0])


def only_champions(entries: Sequence[Champion | KeptOut]) -> list[Champion]:
    """Return the champions among the lines of a history."""
    return [entry for entry in entries if isinstance(entry, Champion)]


def overtaken(current: str | None) -> PipelineError:
    """Return the error for a decision that came second."""
    return PipelineError(
        f"champion: there was another decision in the meantime (in use: {current or 'none'}); run"
        " it again"
    )


def resolve(wanted: str, ids: Sequence[str]) -> str:
    """Return the newest id with a number, or that a short digest or the beginning of one names."""
    digests = {id: id.partition("-")[2] for id in ids}
    found = [id for id in ids if wanted == str(number_of(id))]
    found = found or [id for id in ids if id.startswith(wanted) or digests[id].startswith(wanted)]
    if len({digests[id] for id in found}) != 1:
        number = len(found) or "no"
        raise PipelineError(
            f"rollback --to {wanted}: {number} champions match; there are {', '.join(ids)}"
        )
    return found[-1]


def withdrawn(champions: Sequence[Champion]) -> set[str]:
    """Return the short digests of the models that a rollback has withdrawn."""
    digits: set[str] = set()
    for before, champion in zip([None, *champions], champions, strict=False):
        if before and champion.action == "rolled back":
            digits.add(before.short_digest)
        digits.discard(champion.short_digest)
    return digits


def best_on(validation: str, champions: Sequence[Champion]) -> int:
    """Return the largest number of correct images of a champion on a validation split (SHA-256).

    Withdrawn champions do not count.
    """
    left_out = withdrawn(champions)
    facts = [champion.facts for champion in champions if champion.short_digest not in left_out]
    splits = [(f.data.splits.validation.file.sha256, f.validation.correct) for f in facts]
    return max((correct for digest, correct in splits if digest == validation), default=0)


def registry_names(store: Store) -> list[str]:
    """Return the names of the registries in an artifact root, the default one first."""
    found = [name for name in store.folders(CHAMPIONS) if re.fullmatch(CHAMPION_NAME, name)]
    default = [DEFAULT_CHAMPION] if CHAMPION in store.folders("") else []
    return default + [name for name in found if name != DEFAULT_CHAMPION]


def history_lines(store: Store, name: str | None = None) -> list[str]:
    """Return a line for each decision in one registry, oldest first, or in all by their names.

    `*` marks the champion in use, `-` a challenger that was kept out.
    """
    names = [name] if name else registry_names(store) or [DEFAULT_CHAMPION]
    lines = []
    for champions in (Champions(store, name) for name in names):
        lines += [f"champion {champions.name}:"] if len(names) > 1 else []
        history = champions.history()
        current = only_champions(history)[-1:]
        for entry in history:
            mark, problem = "-", None
            if isinstance(entry, Champion):
                mark, problem = "*" if entry in current else " ", champions.problem(entry)
            lines.append(f"{mark} {entry}{f'  ({problem})' if problem else ''}")
        lines += [] if history else [f"no champion in {champions.address} yet"]
    return lines
