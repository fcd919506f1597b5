"""`clirbench init-task`: write files with an example for own texts, or the task file of a data set on the hub."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clirbench.support.errors import ClirbenchError, printable, quoted
from clirbench.support.files import write_atomically, writing
from clirbench.tasks.corpora.configurations import hub_name, readme_metadata
from clirbench.tasks.hub_copy import local_copy
from clirbench.tasks.hub_readers import languages_of, read_languages, refuse_unparallel
from clirbench.tasks.own_data import METRICS, PARALLEL_BIAS
from clirbench.tasks.task import SETTINGS, HubCorpus
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
_HUB_READER = "parallel-mteb"
_HUB_TOML = """\
# A parallel data set of the hub: run it with  clirbench run --model ORG/NAME --tasks path/to/{name}.toml
# Counts and checksums are of what was read when this file was written; every run compares them.
format = 1
id = "{name}"
name = "{name}"
description = "Say in a sentence what is asked of what."
licence = {licence}
homepage = {homepage}
citation = {citation}
reader = "{reader}"
candidate_text = "passage"
languages = {languages}
settings = {settings}
# The first metric is the one by which results are read.
metrics = {metrics}
bias = {bias}

[source]
hub = {hub}
revision = "{revision}"
split = {split}
"""


def init_task(name: str, folder: Path, languages: Sequence[str]) -> list[Path]:
    """Write a commented task file and two JSON Lines files with a worked example, to be overwritten with one's own texts.

    Raises:
        ClirbenchError: The name cannot name a task or is that of a shipped one, or a file exists already.
    """
    toml, queries, candidates = _new_files(name, folder, (".toml", ".queries.jsonl", ".candidates.jsonl"))
    rows = [
        (topic, x, f"{question} ({x})", f"{answer} ({x})") for topic, question, answer in _EXAMPLE for x in languages
    ]
    contents = {
        toml: _TOML.format(name=name, languages=json.dumps(list(languages))),
        queries: "".join(_line(topic=topic, language=x, text=question) for topic, x, question, _ in rows),
        candidates: "".join(_line(language=x, text=answer, answers=[topic]) for topic, x, _, answer in rows)
        + "".join(_line(language=x, text=f"A sentence that answers nothing ({x}).") for x in languages),
    }
    _write(contents)
    return list(contents)


def init_from_hub(name: str, folder: Path, hub: HubCorpus, languages: Sequence[str] | None = None) -> list[Path]:
    """Read a parallel data set in mteb's layout, and write its task file with counts and checksums.

    ``languages`` chooses some of its languages; None for all. The data are those of the folder ``name`` in the mirror, or of the
    hub.

    Raises:
        ClirbenchError: As in :func:`init_task`; or the data cannot be had or read, are not parallel, or are in fewer than two
            languages.
    """
    (toml,) = _new_files(name, folder, (".toml",))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", hub.hub, re.ASCII):
        raise ClirbenchError(f"--from-hub is {quoted(hub.hub)}: give the name of the data set on the hub, as ORG/NAME")
    if not re.fullmatch("[0-9a-f]{40}", hub.revision):
        raise ClirbenchError(
            f"--revision is '{printable(hub.revision[:80])}': give the commit, 40 hexadecimal digits, because a branch moves"
        )
    copy = local_copy(name, hub, ())
    known = languages_of(copy)
    chosen = list(known if languages is None else languages)
    for language in chosen:
        if language not in known:
            raise ClirbenchError(f"{hub_name(hub)} has no language '{printable(language)}': use {', '.join(known)}")
    if len(known) > 1 and len(chosen) < 2:
        raise ClirbenchError(f"--languages is '{','.join(chosen)}': a parallel task needs two of {', '.join(known)}")
    if len(chosen) < 2:
        raise ClirbenchError(
            f"{hub_name(hub)}: no two languages have configurations such as en-corpus, en-queries and en-qrels, so it is no "
            "parallel data set in mteb's layout: correct --from-hub or --languages"
        )
    read = dict(read_languages(name, _HUB_READER, hub, chosen))
    refuse_unparallel(hub_name(hub), read)
    texts = {language: one.texts for language, one in read.items()}
    licence = readme_metadata(copy).get("license")
    homepage = f"https://huggingface.co/datasets/{hub.hub}"
    tables: dict[str, dict[str, Any]] = {
        "source.sha256": {x: one.sha256 for x, one in read.items()},
        "counts": {
            "topics": len(texts[chosen[0]].queries),
            "gold_pairs": sum(len(one.golds) for one in texts.values()) * len(chosen),
        },
        "counts.queries": {x: len(one.queries) for x, one in texts.items()},
        "counts.candidates": {x: len(one.candidates) for x, one in texts.items()},
    }
    head = _HUB_TOML.format(
        name=name,
        licence=_toml(licence if isinstance(licence, str) and licence else "unknown"),
        homepage=_toml(homepage),
        citation=_toml(f"@misc{{{name}, title = {{{hub.hub}}}, url = {{{homepage}}}}}"),
        hub=_toml(hub.hub),
        revision=hub.revision,
        split=_toml(hub.split),
        reader=_HUB_READER,
        languages=_toml(chosen),
        settings=_toml(SETTINGS),
        metrics=_toml(METRICS),
        bias=_toml(PARALLEL_BIAS),
    )
    _write({toml: head + "".join(_table(key, rows) for key, rows in tables.items())})
    return [toml]


def _new_files(name: str, folder: Path, ends: Sequence[str]) -> list[Path]:
    from clirbench.support.names import check_name

    check_name(name)
    if "/" in name:
        raise ClirbenchError(f"task name '{name}' has a slash: use letters, digits, '.', '-' and '_'")
    refuse_shipped_name(name, "init-task")
    paths = [folder / f"{name}{end}" for end in ends]
    for path in paths:
        if path.exists():
            raise ClirbenchError(f"{path} is there already: choose another name or --output")
    return paths


def _write(contents: Mapping[Path, str]) -> None:
    for path, text in contents.items():
        with writing(path, "choose another --output"):
            write_atomically(path, text.encode())


def _table(name: str, rows: Mapping[str, Any]) -> str:
    bare = {key: key if re.fullmatch("[A-Za-z0-9_-]+", key) else _toml(key) for key in rows}
    return f"\n[{name}]\n" + "".join(f"{bare[key]} = {_toml(value)}\n" for key, value in rows.items())


def _toml(value: Any) -> str:
    """Text, a number or a list of texts as TOML writes it: for these, as JSON does."""
    return json.dumps(value, ensure_ascii=False)


def _line(**values: Any) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
