"""Cache entries without a run."""

from tasks.engine.models import StageRecord
from tasks.engine.store import Store


def add_entry(
    store: Store, stage: str, key: str, *, label: str = "", content: str = "hello"
) -> StageRecord:
    """Add a cache entry with one output file, `a.txt`.

    Args:
        store: gets it.
        stage: name of the stage.
        key: of the entry.
        label: of the stage run; the stage's name by default.
        content: of the file.
    """
    with store.workspace(stage, key) as work:
        work.output("a.txt").write_text(content)
        output = {"file": work.finished("a.txt").model_dump()}
    record = StageRecord(
        stage=stage,
        label=label or stage,
        key=key,
        key_inputs={},
        reason="never run",
        seconds=1.0,
        output=output,
    )
    store.write_record(f"{stage}-{key}.json", record.model_dump_json().encode())
    return record
