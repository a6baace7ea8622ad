"""Stage: checkpoint → `model.keras`, for use outside the pipeline."""

import json
import zipfile
from pathlib import Path
from typing import Any

from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES, restore_network
from tasks.model.device import load_tensorflow
from tasks.records import Checkpoint, Model, Shape
from tasks.settings import NetworkSettings


def number_objects(config: bytes) -> bytes:
    """Replace the memory addresses by which Keras identifies shared objects with numbers."""
    numbers: dict[int, int] = {}

    def renumber(item: dict[str, Any]) -> dict[str, Any]:
        if (address := item.get("shared_object_id")) is not None:
            item["shared_object_id"] = numbers.setdefault(address, len(numbers) + 1)
        return item

    return json.dumps(json.loads(config, object_hook=renumber)).encode()


def write_reproducibly(archive: Path, result: Path) -> None:
    """Copy a .keras archive without dates and addresses, so that equal models have equal bytes."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(result, "w") as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                metadata = json.loads(content)
                metadata.pop("date_saved", None)
                content = json.dumps(metadata).encode()
            if name == "config.json":
                content = number_objects(content)
            new.writestr(
                zipfile.ZipInfo(name), content
            )  # dated 1980, the first year of the ZIP format


@stage(libraries=LIBRARIES)
def export(
    work: Workspace, shape: Shape, checkpoint: Checkpoint, network: NetworkSettings
) -> Model:
    """Export the network in Keras's own format; equal weights give equal bytes."""
    load_tensorflow()
    model = restore_network(work.input(checkpoint.file), network, shape)
    dated = work.output("dated.keras")
    model.save(dated)
    write_reproducibly(dated, work.output("model.keras"))
    dated.unlink()
    return Model(file=work.finished("model.keras"))
