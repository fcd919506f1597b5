"""`clirbench init-task`: write files with an example, which the user replaces with own texts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically, writing
from clirbench.tasks.task_file import refuse_shipped_name

_EXAMPLE = (
    ("opening-hours", "When do you open?", "We open at nine in the morning."),
    ("returns", "Can I send it back?", "You can return anything within thirty days."),
)
_TOML = """\
# A task of your own: run it with  clirbench run --model ORG/NAME --tasks path/to/{name}.toml
format = 1
id = "{name}"
name = "{name}"
description = "Say in a sentence what is asked of what."
licence = "private"
reader = "jsonl"
languages = {languages}

# One line per query: {{"topic": "returns", "language": "en", "text": "Can I send it back?"}}
# Queries of one topic are the same question in several languages.
queries = "{name}.queries.jsonl"

# One line per candidate: {{"language": "en", "text": "You can ...", "answers": ["returns"]}}
# It is gold for the queries of the topics in "answers", whatever their language; leave "answers" out where it answers nothing.
# With grades, write {{"returns": 2}} instead of ["returns"]: nDCG counts the grades, and a candidate is gold from this one on.
candidates = "{name}.candidates.jsonl"
relevant_from = 1

# Settings and measures of bias follow from the data. To restrict or reorder metrics:
# metrics = ["mAP", "R@1", "R@10", "MRR@10", "nDCG@10"]
"""


def init_task(name: str, folder: Path, languages: Sequence[str]) -> list[Path]:
    """Write a commented task file and two JSON Lines files with a worked example, to be overwritten with one's own texts.

    Raises:
        ClirbenchError: The name cannot name a task or is that of a shipped one, or a file exists already.
    """
    from clirbench.support.names import check_name

    check_name(name)
    if "/" in name:
        raise ClirbenchError(f"task name '{name}' has a slash: use letters, digits, '.', '-' and '_'")
    refuse_shipped_name(name, "init-task")
    toml, queries, candidates = (folder / f"{name}{end}" for end in (".toml", ".queries.jsonl", ".candidates.jsonl"))
    for path in (toml, queries, candidates):
        if path.exists():
            raise ClirbenchError(f"{path} is there already: choose another name or --output")
    rows = [
        (topic, x, f"{question} ({x})", f"{answer} ({x})") for topic, question, answer in _EXAMPLE for x in languages
    ]
    contents = {
        toml: _TOML.format(name=name, languages=json.dumps(list(languages))),
        queries: "".join(_line(topic=topic, language=x, text=question) for topic, x, question, _ in rows),
        candidates: "".join(_line(language=x, text=answer, answers=[topic]) for topic, x, _, answer in rows)
        + "".join(_line(language=x, text=f"A sentence that answers nothing ({x}).") for x in languages),
    }
    for path, text in contents.items():
        with writing(path, "choose another --output"):
            write_atomically(path, text.encode())
    return list(contents)


def _line(**values: Any) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
