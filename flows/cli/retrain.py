"""The command line of flows/retrain.py."""

from typing import Annotated

from cyclopts import App, Parameter

from flows.cli.common import (
    ArtifactsOption,
    SettingsOption,
    call_flow,
    make_app,
    parse,
    run_to_exit_code,
)
from tasks.engine.store import open_store
from tasks.settings import RetrainSettings, Settings
from tasks.settings.run import DEFAULT_CHAMPION, ChampionName

RetrainOption = Annotated[RetrainSettings, Parameter(name="*", group="Champion")]


def retrain_main(arguments: list[str]) -> int:
    """Run `python flows/retrain.py` and return its exit code."""
    return parse(retrain_app(), arguments)


def retrain_app() -> App:
    """Return the command line of `python flows/retrain.py`."""
    app = make_app("retrain.py")
    app.command(history)
    app.command(rollback)

    @app.default
    def run(
        *, settings: SettingsOption = Settings(), retrain: RetrainOption = RetrainSettings()
    ) -> int:
        """Train a challenger, and make it the champion if it is not worse."""
        entrypoint = "flows.retrain:scheduled_retraining"
        return run_to_exit_code(lambda: call_flow(entrypoint, settings, retrain))

    return app


def history(*, champion: ChampionName | None = None, artifacts: ArtifactsOption = None) -> int:
    """List the champions and the challengers that were kept out, oldest first.

    `*` marks the champion in use, `-` a challenger that was kept out.

    Args:
        champion: Name of the champion. Default: all names.
        artifacts: Folder or URL of the results.
    """
    from tasks.champion.registry import history_lines

    print("\n".join(history_lines(open_store(artifacts), champion)))
    return 0


def rollback(
    *,
    to: str | None = None,
    champion: ChampionName = DEFAULT_CHAMPION,
    artifacts: ArtifactsOption = None,
) -> int:
    """Make an earlier champion current again; retraining will not promote the present one again.

    Args:
        to: Number or id of a champion, as `history` shows them. Default: the previous one.
        champion: Name of the champion.
        artifacts: Folder or URL of the results.
    """
    from tasks.champion.registry import Champions
    from tasks.runtime.environment import user_and_host

    now = Champions(open_store(artifacts), champion).rollback(to, by=user_and_host())
    print(f"champion: {now.id}, {now.why}")
    return 0
