"""Stage: network → `model.keras` and `model.onnx`, for use outside the pipeline."""

import json
import zipfile
from pathlib import Path
from typing import Any

from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import restore_network
from tasks.model.device import load_tensorflow
from tasks.model.onnx_graph import write_onnx
from tasks.records import Model, Network

NEWER_SETTINGS = {
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
"""Settings of layers that older versions of Keras 3 refuse, with their defaults."""


def portable_config(config: bytes) -> bytes:
    """Return a configuration that does not depend on the process or on a new Keras.

    Memory addresses, by which Keras identifies shared objects, become numbers. Settings that older
    versions do not know are left out where they have their default.
    """
    numbers: dict[int, int] = {}

    def change(item: dict[str, Any]) -> dict[str, Any]:
        if (address := item.get("shared_object_id")) is not None:
            item["shared_object_id"] = numbers.setdefault(address, len(numbers) + 1)
        return {k: v for k, v in item.items() if NEWER_SETTINGS.get(k, ...) != v}

    return json.dumps(json.loads(config, object_hook=change)).encode()


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
                content = portable_config(content)
            new.writestr(
                zipfile.ZipInfo(name), content
            )  # dated 1980, the first year of the ZIP format


@stage()
def export(work: Workspace, network: Network) -> Model:
    """Export the network in Keras's own format and as ONNX; equal weights give equal bytes."""
    load_tensorflow()
    model = restore_network(network, work.input(network.checkpoint))
    dated = work.output("dated.keras")
    model.save(dated)
    write_reproducibly(dated, work.output("model.keras"))
    dated.unlink()
    write_onnx(model, work.output("model.onnx"))
    return Model(file=work.finished("model.keras"), onnx=work.finished("model.onnx"))
