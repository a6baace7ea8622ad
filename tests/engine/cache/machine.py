"""State machine: random sequences of edits, aborted runs and runs, checked against the oracle."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.cache.forms import (
    CleanSettings,
    CountSettings,
    GatherSettings,
    ReportSettings,
    StorySettings,
)
from engine.cache.oracle import Kept, Oracle, Step, World, steps
from engine.cache.probe import (
    Aborted,
    Probe,
    abort,
    kill,
    kill_at_file_operation,
    killed_in_child,
    reach,
    stopping,
)
from engine.cache.project import HELPERS, MODULES, STYLES, Project
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tasks.engine import digests, fingerprint
from tasks.engine.executors import LocalExecutor, LookupExecutor, PrefectExecutor
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.stage import Plan, R
from tasks.engine.store import Store

LINES = ("a tale", "A  TALE", "of two cities", "of Two", "", "the best of times")
SETTINGS = {
    "shortest": (1, 2, 5),
    "minimum": (1, 2, 9),
    "title": ("Words", "More words"),
    "steps": (1, 2, 3, 4),
    "patience": (1, 2),
}
POINTS = st.integers(1, 8) | st.integers(1, 24)
LIBRARIES = ("abacus", "yeast")
STAGE_MODULE = sys.modules["tasks.engine.stage"]
FOLDERS = ("records", "locks", "gather", "clean", "count", "grow", "report", "")
STAGES = ("gather", "clean", "count", "grow", "report", "all")


class KillableExecutor(LocalExecutor):
    """Local executor that can be killed between a result and its cache entry."""

    def write(self, plan: Plan[R], record: StageRecord) -> None:
        """Write a cache entry after the point at which the process can be killed."""
        reach(plan.label, "unrecorded")
        super().write(plan, record)


def flip_bit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:] if content else b"x")


def cut_short(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] if content else b"x")


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def change_facts(path: Path) -> None:
    """Change a record's facts but not its file references; add a fact if there is none."""
    record = json.loads(path.read_text())
    facts = {name: value for name, value in record["output"].items() if isinstance(value, int)}
    record["output"] |= {name: value + 1 for name, value in facts.items()} or {"added": 1}
    path.write_text(json.dumps(record))


FILE_DAMAGES = (Path.unlink, flip_bit, cut_short, put_folder, link_to_itself)
RECORD_DAMAGES = (
    Path.unlink,
    flip_bit,
    cut_short,
    lambda path: path.write_text("{}"),
    lambda path: path.write_bytes(b"\x80\x04"),
    link_to_itself,
)


def leftovers(root: Path) -> list[Path]:
    """Return partly written and partly removed files."""
    return [path for path in root.rglob(".*") if path.suffix in (".tmp", ".old")]


def listing(root: Path) -> dict[Path, int]:
    """Return every path below the root with its modification time."""
    return {path: path.lstat().st_mtime_ns for path in root.rglob("*")}


class CacheMachine(RuleBasedStateMachine):
    """One random sequence of rules; every run is compared with the oracle."""

    run_type: ClassVar[type[LocalExecutor] | type[PrefectExecutor]] = KillableExecutor
    in_flow: ClassVar[Callable[[Callable[[], Any]], Any]] = staticmethod(lambda job: job())
    """Function that calls another one, in a flow if there is one."""
    most_runs: ClassVar[int] = 99
    """Settings of the run before the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cache-properties-"))
        Probe.log = self.folder / "log"
        self.project = Project(self.folder / "project")
        self.source = self.folder / "source.txt"
        self.world = World(
            lines=("a tale", "of two cities"),
            versions=self.project.versions,
            settings={name: values[0] for name, values in SETTINGS.items()},
            libraries=dict.fromkeys(LIBRARIES, "1.0"),
        )
        self.oracle = Oracle()
        self.store = Store(self.folder / "root-0")
        self.runs = 0
        self.failed = False
        self.rotten = False
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(
            STAGE_MODULE,
            "fingerprint",
            lambda module: fingerprint.fingerprint(module, self.project.folder),
        )
        self.patch.setattr(STAGE_MODULE, "library_version", self.library_version)
        self.write_source()

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.check_run(())
        finally:
            self.patch.undo()
            self.project.close()
            shutil.rmtree(self.folder)

    # Edits.

    @rule(name=st.sampled_from(list(SETTINGS)), by=st.integers(1, 3))
    def change_setting(self, name: str, by: int) -> None:
        values = SETTINGS[name]
        now = values.index(self.world.settings[name])
        self.world.settings[name] = values[(now + by) % len(values)]

    @rule(lines=st.lists(st.sampled_from(LINES), max_size=4))
    def change_input(self, lines: list[str]) -> None:
        self.world.lines = tuple(lines)
        self.write_source()

    @precondition(lambda self: self.world.lines)
    @rule()
    def repeat_line(self) -> None:
        """Repeat a line: the words stay the same, the number of words left out changes."""
        self.world.lines += self.world.lines[-1:]
        self.write_source()

    @rule(library=st.sampled_from(LIBRARIES), version=st.sampled_from(["1.0", "1.1"]))
    def change_library(self, library: str, version: str) -> None:
        self.world.libraries[library] = version

    @rule(module=st.sampled_from(MODULES), by=st.integers(1, 3))
    def edit_code(self, module: str, by: int) -> None:
        self.project.versions[module] = (self.project.versions[module] + by) % 4
        self.project.write(module)

    @rule(module=st.sampled_from(HELPERS), by=st.integers(1, 3))
    def edit_helper(self, module: str, by: int) -> None:
        self.edit_code(module, by)

    @rule(module=st.sampled_from(MODULES), style=st.sampled_from(STYLES))
    def restyle_code(self, module: str, style: str) -> None:
        self.project.styles[module] = style
        self.project.write(module)

    # Damage.

    def whole(self) -> list[Kept]:
        """Return the entries that are known to be valid."""
        return [kept for kept in self.oracle.kept.values() if kept.whole and kept.key]

    @precondition(lambda self: self.whole())
    @rule(which=st.integers(0, 99), how=st.sampled_from(FILE_DAMAGES))
    def damage_output(self, which: int, how: Callable[[Path], object]) -> None:
        path = self.output_to_damage(which)
        how(path)
        if path.is_file():
            self.project.clock.stamp(path)

    @precondition(lambda self: self.whole())
    @rule(which=st.integers(0, 99))
    def flip_bit_of_output(self, which: int) -> None:
        """Flip a bit without a change of the file's size or times."""
        path = self.output_to_damage(which)
        status = path.stat()
        flip_bit(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.rotten = True

    def output_to_damage(self, which: int) -> Path:
        found = [(kept, name) for kept in self.whole() for name in kept.names]
        kept, name = found[which % len(found)]
        kept.files = False
        return self.store.root / kept.stage / kept.key[:12] / name

    @precondition(lambda self: self.whole())
    @rule(which=st.integers(0, 99), how=st.sampled_from(RECORD_DAMAGES))
    def damage_record(self, which: int, how: Callable[[Path], object]) -> None:
        found = self.whole()
        kept = found[which % len(found)]
        kept.record = False
        how(self.record_path(kept))

    @precondition(lambda self: self.whole())
    @rule(which=st.integers(0, 99))
    def change_record(self, which: int) -> None:
        self.damage_record(which, change_facts)

    def record_path(self, kept: Kept) -> Path:
        return self.store.records / f"{kept.stage}-{kept.key}.json"

    @precondition(lambda self: len(self.whole()) > 1)
    @rule(which=st.integers(0, 99), other=st.integers(0, 99))
    def put_record_in_place_of_another(self, which: int, other: int) -> None:
        kept, source = (self.whole()[n % len(self.whole())] for n in (which, other))
        if kept is not source:
            shutil.copy(self.record_path(source), self.record_path(kept))
            kept.record = False

    @rule(name=st.sampled_from(FOLDERS))
    def delete_folder(self, name: str) -> None:
        """Delete all records, all locks, all files of one stage, or the root."""
        shutil.rmtree(self.store.root / name, ignore_errors=True)
        for kept in self.oracle.kept.values():
            if name in ("records", ""):
                kept.record = False
            if name in (kept.stage, ""):
                kept.files = False

    @precondition(lambda self: self.store.root.exists())
    @rule()
    def move_root(self) -> None:
        place = self.store.root.with_name(f"root-{int(self.store.root.name[5:]) + 1}")
        self.store.root.rename(place)
        self.store = Store(place)

    # Runs.

    @initialize()
    def first_run(self) -> None:
        self.run((), False)

    @precondition(lambda self: self.runs < self.most_runs)
    @rule(
        refresh=st.just(()) | st.just(()) | st.tuples(st.sampled_from(STAGES)),
        same_process=st.booleans(),
    )
    def run(self, refresh: tuple[str, ...], same_process: bool) -> None:
        if not same_process:
            self.start_process()
        self.check_run(refresh)

    @precondition(lambda self: self.runs < self.most_runs)
    @rule(at=POINTS)
    def abort_run(self, at: int) -> None:
        """Raise an exception at the n-th point that a run reaches."""
        job = self.job()
        with stopping(at, abort):
            try:
                job()
                ended = True
            except Aborted:
                ended = False
        self.learn_from_log(ended)

    # Expected state.

    def write_source(self) -> None:
        self.source.write_text("".join(f"{line}\n" for line in self.world.lines))

    def library_version(self, name: str) -> str:
        """Return a version that an edit may have changed."""
        return self.world.libraries.get(name, "1.0")

    def start_process(self) -> None:
        """Clear caches that live only as long as a process."""
        fingerprint.read_module.cache_clear()
        digests.remembered_digest.cache_clear()
        self.rotten = False

    def settings(self) -> StorySettings:
        chosen = self.world.settings
        return StorySettings(
            gather=GatherSettings(source=self.source, patience=chosen["patience"]),
            clean=CleanSettings(shortest=chosen["shortest"]),
            count=CountSettings(minimum=chosen["minimum"]),
            report=ReportSettings(title=chosen["title"]),
            steps=chosen["steps"],
        )

    def current_pipeline(self) -> Callable[[Any], dict[str, Any]]:
        """Return the current project as a function, ready to run."""
        if self.rotten:
            self.start_process()
        Probe.log.write_text("")
        run_story = self.project.job().run_story
        settings = self.settings()
        return lambda run: run_story(run, settings)

    def job(self) -> Callable[[], object]:
        """Start a run that the probe aborts."""
        self.runs += 1
        run_story = self.current_pipeline()
        return lambda: self.execute(run_story, ())[1]

    def execute(
        self, run_story: Callable[[Any], dict[str, Any]], refresh: tuple[str, ...]
    ) -> tuple[Any, dict[str, Any]]:
        def work() -> tuple[Any, dict[str, Any]]:
            self.store.prepare()
            assert leftovers(self.store.root) == []
            run = self.run_type(self.store, frozenset(refresh))
            return run, run_story(run)

        result: tuple[Any, dict[str, Any]] = self.in_flow(work)
        return result

    def reached(self) -> list[tuple[str, str]]:
        """Return labels and points that the last run reached."""
        return [(line.split()[0], line.split()[1]) for line in Probe.log.open()]

    def learn_from_log(self, ended: bool, somewhere: bool = False) -> None:
        """Update the oracle with the points that an aborted run reached."""
        by_label = {step.label: step for step in steps(self.world)}
        reached = self.reached()
        begun = [by_label[label] for label, point in reached if point == "start"]
        for step in begun if ended else begun[:-1]:
            self.oracle.done(step)
        if begun and not ended:
            if somewhere:
                self.oracle.killed_somewhere(begun[-1])
            else:
                self.oracle.stopped(begun[-1], reached[-1][1])

    def check_run(self, refresh: tuple[str, ...]) -> None:
        """Run, and compare results, cache entries and reasons with the oracle."""
        try:
            self.compare_run(refresh)
        except BaseException:
            self.failed = True
            raise

    def compare_run(self, refresh: tuple[str, ...]) -> None:
        self.runs += 1
        expected = list(steps(self.world))
        run_story = self.current_pipeline()
        verdicts = self.ask_status(run_story, refresh)
        run, records = self.execute(run_story, refresh)
        ran = [label for label, point in self.reached() if point == "start"]

        def must_run(step: Step) -> bool:
            whole = self.oracle.of(step).whole
            known = step.label in ran if whole is None else not whole
            return known or bool({"all", step.stage} & set(refresh))

        assert ran == [step.label for step in expected if must_run(step)]
        assert [o.name for o in run.outcomes] == [step.label for step in expected]
        assert [o.name for o in run.outcomes if o.state == "ran"] == ran
        self.compare_results(expected, records)
        self.compare_status(verdicts, ran)
        assert leftovers(self.store.root) == []
        for step, outcome in zip(expected, run.outcomes, strict=True):
            self.oracle.done(step, outcome.key)

    def compare_results(self, expected: list[Step], records: dict[str, Any]) -> None:
        assert list(records) == [step.label for step in expected]
        for step in expected:
            record = dict(records[step.label])
            found = {
                value.name: self.store.path(value).read_bytes()
                for value in record.values()
                if isinstance(value, FileRef)
            }
            assert (step.label, found) == (step.label, step.files)
            assert step.facts.items() <= record.items()

    def ask_status(
        self, run_story: Callable[[Any], dict[str, Any]], refresh: tuple[str, ...]
    ) -> list[tuple[str, str]]:
        before = listing(self.store.root)
        run = LookupExecutor(self.store, frozenset(refresh))
        run_story(run)
        assert listing(self.store.root) == before
        return run.verdicts

    def compare_status(self, verdicts: list[tuple[str, str]], ran: list[str]) -> None:
        assert [label for label, _ in verdicts] == [step.label for step in steps(self.world)]
        for label, verdict in verdicts:
            if verdict != "will run: upstream will run":
                assert (label, verdict != "up to date") == (label, label in ran), verdict


class KillingMachine(CacheMachine):
    """State machine with runs that are killed, in a child process."""

    @rule(at=POINTS, name=st.none() | st.sampled_from(list(SETTINGS)))
    def kill_run(self, at: int, name: str | None) -> None:
        """Send SIGKILL at the n-th point of a run; the next run may have another setting."""
        job = self.job()
        with stopping(at, kill):
            killed = killed_in_child(job)
        self.learn_from_log(ended=not killed)
        if name:
            self.change_setting(name, 1)

    @rule(n=st.integers(1, 150))
    def kill_run_at_file_operation(self, n: int) -> None:
        """Send SIGKILL before the n-th file operation of a run."""
        job = self.job()

        def run_and_be_killed() -> None:
            kill_at_file_operation(n)
            job()

        killed = killed_in_child(run_and_be_killed)
        self.learn_from_log(ended=not killed, somewhere=True)
