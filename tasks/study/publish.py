"""Pages and plots of answers in the artifact root, and one Markdown document of all answers."""

from collections.abc import Sequence
from pathlib import Path

from tasks.engine.stage import Executor
from tasks.engine.store import Store, disk_errors
from tasks.report.draw_study import draw_study
from tasks.study.answer import StudyAnswer
from tasks.study.chart import chart_of
from tasks.study.exercises import BY_NAME
from tasks.study.pages import answer_page, answers_markdown, index_page


def add_plot(executor: Executor, answer: StudyAnswer) -> StudyAnswer:
    """Draw the plot of an answer, if it has results."""
    chart = chart_of(answer, BY_NAME[answer.name])
    picture = draw_study(executor, chart=chart).file if chart.rows else None
    return answer.model_copy(update={"picture": picture})


def plot_bytes(store: Store, answer: StudyAnswer) -> bytes | None:
    """Return the plot of an answer as PNG; None if there is none."""
    return store.path(answer.picture).read_bytes() if answer.picture else None


def write_answer(store: Store, answer: StudyAnswer) -> str:
    """Replace the page of a study, and the index of all.

    Returns:
        Address of the page.
    """
    png = plot_bytes(store, answer)
    page = answer_page(answer, png)

    def fill(folder: Path) -> None:
        (folder / "index.html").write_text(page, encoding="utf-8")
        (folder / "answer.json").write_text(answer.model_dump_json(indent=1), encoding="utf-8")
        if png:
            (folder / "plot.png").write_bytes(png)

    place = store.replace_study(answer.name, fill)
    store.write_studies_index(index_page(load_answers(store)))
    return f"{place}/index.html"


def load_answers(store: Store) -> list[StudyAnswer]:
    """Return the readable answers in the artifact root, in the order of the exercises."""
    answers = []
    for name in BY_NAME:
        try:
            answers.append(
                StudyAnswer.model_validate_json(store.read(f"studies/{name}/answer.json"))
            )
        except (OSError, ValueError):
            continue
    return answers


def write_document(store: Store, answers: Sequence[StudyAnswer], command: str, path: Path) -> None:
    """Write all answers as Markdown, and their plots into a folder beside it.

    Raises:
        PipelineError: the file cannot be written.
    """
    folder = path.with_suffix("").with_name(path.stem.lower())
    with disk_errors("--write", path, "name another file"):
        folder.mkdir(parents=True, exist_ok=True)
        for answer in answers:
            if png := plot_bytes(store, answer):
                (folder / f"{answer.name}.png").write_bytes(png)
        path.write_text(answers_markdown(answers, command, folder.name), encoding="utf-8")


def study_lines(answer: StudyAnswer) -> str:
    """Return question, conclusions and failures of a study as lines of the log."""
    failures = [f"“{row.variant}” failed: {why}" for row in answer.rows for why in row.failures]
    return "\n".join(
        [f"{answer.number}. {answer.question}", *answer.conclusion.sentences, *failures]
    )
