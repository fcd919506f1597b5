"""`model.toml`: what the submitters say about their model. Nobody can recompute these facts."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field

from clirbench.results.read import one_line_errors
from clirbench.results.schema import Format
from clirbench.support.errors import ClirbenchError, printable
from clirbench.support.links import link_problem
from clirbench.support.text_files import decode
from clirbench.tasks.task_file import board_tasks

FILE = "model.toml"
Answer = Literal["yes", "no", "unknown"]
Line = Annotated[str, Field(max_length=300)]
Count = Annotated[int, Field(ge=0, le=10**14)]
# A year, a month or a day.
Date = Annotated[str, Field(pattern=r"^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$")]
_HEAD = """\
# What nobody can recompute. Leave out what is not known: parameters, embedding_size and max_length are optional, text may be "".
# Optional too: display_name, organisation, released and submitted (YYYY, YYYY-MM or YYYY-MM-DD).
# trained_on: "yes" where the training data hold that evaluation set, or the set that its makers give for training (SQuAD for
# XQuAD and MLQA), "no" where they surely do not, "unknown" otherwise.
# reproduce, which maintainers add: the commands that make or fetch the model, and what --model of clirbench run then takes.
"""


def evaluation_sets() -> list[str]:
    """The tasks of the board with their own questions, sorted: a model may have been trained on these questions."""
    return sorted(name for name, task in board_tasks().items() if not task.questions_of)


def evaluation_set(task: str) -> str:
    """The evaluation set whose questions a task uses."""
    facts = board_tasks().get(task)
    return facts.questions_of if facts and facts.questions_of else task


def holds(data: str, task: str) -> bool:
    """Whether the name of a training set contains a name of an evaluation set, or of the set that is given for its training."""
    return first_holding([data], task) is not None


def first_holding(names: Sequence[str], task: str) -> str | None:
    """The first of several training sets that :func:`holds`; None if none does."""
    known = board_tasks()[task].training_names or (task,)
    return next((name for name in names if any(one in name.lower() for one in known)), None)


class Reproduce(BaseModel):
    """How a reader gets a model that no name leads to, such as a local folder.

    ``commands`` are lines for a shell in a clone of the repository. ``model`` is what ``clirbench run --model`` then takes.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    commands: Annotated[str, Field(min_length=1, max_length=2000)]
    model: Annotated[Line, Field(min_length=1)]


class ModelFile(BaseModel):
    """A model as its submitters describe it. ``max_length`` is in tokens. An unknown text is empty.

    ``display_name`` and ``organisation`` are what people call the model and who made it, ``released`` is a year, month or day,
    and so is ``submitted``, when the submission was made.
    ``same_as`` is the ``name`` of a submission of the same model from another source: the board shows one row for both.
    ``not_comparable`` says by task why figures cannot stand beside the others of the board. ``reproduce`` is for maintainers,
    because readers paste its commands into a shell.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    format: Format
    name: Line
    display_name: Line | None = None
    organisation: Line | None = None
    released: Date | None = None
    submitted: Date | None = None
    same_as: Line | None = None
    link: Line
    revision: Line
    licence: Line
    parameters: Count | None = None
    embedding_size: Count | None = None
    max_length: Count | None = None
    query_prefix: Annotated[str, Field(max_length=2000)]
    candidate_prefix: Annotated[str, Field(max_length=2000)]
    base_model: Line
    training_data: Annotated[list[Line], Field(max_length=200)]
    contact: Line
    citation: Annotated[str, Field(max_length=5000)]
    trained_on: dict[str, Answer]
    not_comparable: dict[str, Annotated[Line, Field(min_length=1)]] | None = None
    reproduce: Reproduce | None = None

    def zero_shot(self, task: str) -> Answer:
        """Whether a task is zero-shot: "yes" only if the submitters say that the model was not trained on its evaluation set."""
        answers: dict[Answer, Answer] = {"yes": "no", "no": "yes", "unknown": "unknown"}
        return answers[self.trained_on.get(evaluation_set(task), "unknown")]


def parse_model_file(content: bytes, path: Path) -> ModelFile:
    """Parse the bytes of a ``model.toml``; ``path`` is only its name in error messages.

    Raises:
        ClirbenchError: The content is not TOML, has an unknown, missing or wrong key, or a link that is not a plain https
            address, or an answer for what is no evaluation set.
    """
    with one_line_errors(path, "TOML", "correct it"):
        model = ModelFile.model_validate(tomllib.loads(decode(content, path)))
    if model.link and (fault := link_problem(model.link)):
        raise ClirbenchError(f"{path}: 'link' {fault}")
    for task in model.trained_on:
        if task not in evaluation_sets():
            key = printable(f"trained_on.{task[:40]}")
            raise ClirbenchError(f"{path}: '{key}' is not an evaluation set: use {', '.join(evaluation_sets())}")
    for task in model.not_comparable or ():
        if task not in board_tasks():
            key = printable(f"not_comparable.{task[:40]}")
            raise ClirbenchError(f"{path}: '{key}' is not a task of the board: use {', '.join(board_tasks())}")
    return model


def write_model_file(model: ModelFile) -> bytes:
    """The bytes of a ``model.toml``, with a comment that explains its keys."""
    values: dict[str, Any] = {k: v for k, v in model.model_dump(mode="json").items() if v is not None}
    return (_HEAD + tomli_w.dumps(values, multiline_strings=True)).encode()
