"""Automations of a YAML file on a Prefect server.

`python -m tasks.runtime.automations automations.yaml` creates the automations that the server does
not have and updates the others, which `prefect automation update` does only one by one and by id.
"""

import sys
from pathlib import Path
from typing import Any

import yaml


def put_automations(path: Path) -> list[str]:
    """Create or update every automation of a file, by name.

    An automation that somebody has paused stays paused.

    Args:
        path: a file as `prefect automation create --from-file` reads it.

    Returns:
        One line for each automation.
    """
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    lines = []
    with get_client(sync_client=True) as client:
        for values in content["automations"]:
            automation = AutomationCore.model_validate(values)
            existing = client.read_automations_by_name(automation.name)
            if not existing:
                client.create_automation(automation)
                lines.append(f"created automation: {automation.name}")
            for found in existing:
                update = automation.model_copy(update={"enabled": found.enabled})
                client.update_automation(found.id, update)
                paused = "" if found.enabled else " (paused)"
                lines.append(f"updated automation: {automation.name}{paused}")
    return lines


if __name__ == "__main__":
    print("\n".join(put_automations(Path(sys.argv[1]))))
