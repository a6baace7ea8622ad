"""Stage: numbers of a study → its plot."""

from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import Plot, StudyChart


@stage()
def draw_study(work: Workspace, chart: StudyChart) -> Plot:
    """Draw the variants of a study side by side, and the networks of a search."""
    from tasks.report.figures import save
    from tasks.report.figures.study import study

    save(study(chart), work.output("plot.png"))
    return Plot(file=work.finished("plot.png"))
