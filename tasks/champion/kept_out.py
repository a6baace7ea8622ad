"""Challengers that were kept out: a small file for each, beside the champions.

REGISTRY/kept-out/<first 12 of the model's SHA-256>.json   the newest decision on this model
"""

import datetime

from pydantic import ValidationError

from tasks.champion.registry import Champions, Facts, history_lines, registry_names
from tasks.engine.models import Record
from tasks.engine.store import Store, replace_file
from tasks.settings.run import DEFAULT_CHAMPION

FOLDER = "kept-out"


class KeptOut(Record):
    """A challenger that did not become the champion, with the reason."""

    model: str
    """First 12 digits of the model's SHA-256."""
    facts: Facts
    by: str
    """Flow run or user that trained it."""
    when: str
    """ISO 8601 with time zone."""
    why: str
    champion: str | None
    """Id of the champion that stayed; None if there was none."""


def record_kept_out(
    champions: Champions, model: str, facts: Facts, by: str, why: str, champion: str | None
) -> None:
    """Record a challenger that was kept out; an earlier decision on the same model is replaced.

    Args:
        champions: registry of the champions.
        model: SHA-256 of the model.
        facts: facts about the challenger.
        by: flow run or user that trained it.
        why: reason in one sentence.
        champion: id of the champion that stays.
    """
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    kept = KeptOut(model=model[:12], facts=facts, by=by, when=now, why=why, champion=champion)
    store = champions.store
    name, content = f"{kept.model}.json", kept.model_dump_json(indent=1).encode()
    if store.remote:
        store.remote.write(f"{champions.path}/{FOLDER}/{name}", content)
        return
    folder = store.inside(f"{champions.path}/{FOLDER}")
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder, name, content)


def read_kept_out(champions: Champions) -> list[KeptOut]:
    """Return the challengers that were kept out, oldest decision first; skip damaged files."""
    store = champions.store
    path = f"{champions.path}/{FOLDER}"
    if store.remote:
        names = list(store.remote.listing(path))
    else:
        names = [file.name for file in store.inside(path).glob("*.json")]
    found = []
    for name in names:
        try:
            found.append(KeptOut.model_validate_json(store.read(f"{path}/{name}")))
        except (OSError, ValidationError):
            continue
    # Moments, not text: the time zone changes in summer.
    return sorted(found, key=lambda kept: datetime.datetime.fromisoformat(kept.when))


def history_of(champions: Champions) -> list[str]:
    """Return a line for each champion, then one for each challenger that was kept out."""
    return [*history_lines(champions), *kept_out_lines(champions)]


def histories(store: Store) -> list[str]:
    """Return the lines of all registries, each under its name if there are several."""
    names = registry_names(store) or [DEFAULT_CHAMPION]
    if names == [DEFAULT_CHAMPION]:
        return history_of(Champions(store))
    return [
        line
        for name in names
        for line in (f"champion {name}:", *history_of(Champions(store, name)))
    ]


def kept_out_lines(champions: Champions) -> list[str]:
    """Return a line for each challenger that was kept out, oldest first."""
    return [
        f"- {kept.model}  {kept.when}  validation {kept.facts.validation.percent}"
        f"  test {kept.facts.test.percent}  kept out by {kept.by}: {kept.why}"
        for kept in read_kept_out(champions)
    ]
