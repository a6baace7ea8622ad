"""Put work pool, queues, deployments and automations on a Prefect server: `make deploy`.

What exists is updated, by name. What somebody has paused stays paused, and a limit that somebody
has changed stays as it is.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tasks.runtime.environment import PROJECT
from tasks.runtime.errors import PipelineError
from tasks.runtime.server import check_server

POOL = "mnist"
WEBHOOK_URL = "MNIST_WEBHOOK_URL"
"""Environment variable: address that is told of new champions, failures and crashes."""
WEBHOOK_BLOCK = "mnist-webhook"


def put_pool_and_queues(names: list[str]) -> None:
    """Create the process pool, and a queue with a limit of one run for each name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        for name in names:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_work_queue(name, concurrency_limit=1, work_pool_name=POOL)


def put_automations(path: Path) -> list[str]:
    """Create or update every automation of a file, by name.

    Args:
        path: a file as `prefect automation create --from-file` reads it. An action `call-webhook`
            without a block gets the block of `MNIST_WEBHOOK_URL`.

    Returns:
        One line for each automation.
    """
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    block = put_webhook(os.environ.get(WEBHOOK_URL, ""))
    lines = []
    with get_client(sync_client=True) as client:
        for values in content["automations"]:
            name = values["name"]
            hooks = [action for action in values["actions"] if action["type"] == "call-webhook"]
            if hooks and block is None:
                lines.append(f"left out automation: {name} ({WEBHOOK_URL} is not set)")
                continue
            for hook in hooks:
                hook.setdefault("block_document_id", block)
            automation = AutomationCore.model_validate(values)
            existing = client.read_automations_by_name(name)
            if not existing:
                client.create_automation(automation)
                lines.append(f"created automation: {name}")
            for found in existing:
                update = automation.model_copy(update={"enabled": found.enabled})
                client.update_automation(found.id, update)
                paused = "" if found.enabled else " (paused)"
                lines.append(f"updated automation: {name}{paused}")
    return lines


def put_webhook(url: str) -> str | None:
    """Save the address as a webhook block; without one, the block that was saved before stays.

    Returns:
        The block's id; None if there is no block.

    Raises:
        PipelineError: the address is no URL.
    """
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    if url:
        if not url.startswith(("http://", "https://")):
            raise PipelineError(f"{WEBHOOK_URL}: should start with http:// or https://")
        webhook = Webhook(url=url, headers={"Content-Type": "application/json"})
        return str(webhook.save(WEBHOOK_BLOCK, overwrite=True, _sync=True))  # type: ignore[call-arg]
    with get_client(sync_client=True) as client:
        try:
            return str(client.read_block_document_by_name(WEBHOOK_BLOCK, "webhook").id)
        except ObjectNotFound:
            return None


def deploy(project: Path) -> int:
    """Put on the server what two files of the folder describe; return the exit code."""
    content: dict[str, Any] = yaml.safe_load((project / "prefect.yaml").read_text("utf-8"))
    pools = [deployment["work_pool"] for deployment in content["deployments"]]
    put_pool_and_queues([pool["work_queue_name"] for pool in pools if pool["name"] == POOL])
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    if code := subprocess.run(command, cwd=project, check=False).returncode:
        return code
    print("\n".join(put_automations(project / "automations.yaml")))
    return 0


if __name__ == "__main__":
    try:
        check_server()
        sys.exit(deploy(PROJECT))
    except PipelineError as error:
        sys.exit(f"error: {error}")
