"""Two small stages, which write a word and repeat it, and damage to their files."""

from pathlib import Path
from typing import Annotated

from tasks.engine.models import FileRef, NotInKey, Record
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.runtime.errors import PipelineError
from tasks.settings.base import StageSettings


class Words(StageSettings):
    word: str = "hello"
    patience: Annotated[float, NotInKey] = 1.0


class Text(Record):
    file: FileRef
    letters: int
    seconds: Annotated[float, NotInKey] = 0.0


@stage()
def write(work: Workspace, settings: Words) -> Text:
    if settings.word == "fail":
        raise PipelineError("write: cannot write `fail`")
    work.output("text.txt").write_text(settings.word.lower())
    return Text(file=work.finished("text.txt"), letters=len(settings.word))


@stage(label="repeat-{times}")
def repeat(work: Workspace, text: Text, times: int) -> Text:
    content = work.input(text.file).read_text() * times
    work.output("text.txt").write_text(content)
    return Text(file=work.finished("text.txt"), letters=len(content))


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
