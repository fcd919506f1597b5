"""Write published figures as submissions: `python -m clirbench.submissions.reported PUBLISHED_DIR --submissions DIR`.

For maintainers. The figures come from CSV files in a folder; the figures of LAReQA are in the table below.
"""

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clirbench.results.file_names import run_folder
from clirbench.results.schema import EstimatePart, Reported, ReportedModelPart, ReportedTaskPart, SourcePart
from clirbench.submissions.model_toml import (
    FILE,
    Answer,
    ModelFile,
    evaluation_sets,
    parse_model_file,
    write_model_file,
)
from clirbench.submissions.submit import from_registry
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import write_atomically
from clirbench.support.text_files import read_text
from clirbench.tasks.task_file import board_tasks

Values = dict[str, dict[str, dict[str, float]]]  # language, setting, metric
_PAPER = "hybrid-batch-2408.10536.csv"
_PASSAGES = "MIRACL-dev"
_PASSAGES_FILE = f"{_PASSAGES.lower()}.csv"
_METRICS = {"Recall@100": "R@100"}
_SENTENCES = "whether a candidate carries its paragraph is not said; clirbench ranks the sentence alone"
_TRANSLATED = "trained on data machine-translated from English"
_SQUAD = "SQuAD 1.1, the part for training"
_CAVEATS = {
    "arXiv 2408.10536": [_SENTENCES, "how ties are ranked is not said", _TRANSLATED],
    "LAReQA": [
        "candidates are encoded with their paragraph; clirbench ranks the sentence alone",
        "averages over queries are not told from averages over languages",
    ],
    "pyserini": ["nDCG@10 and recall of trec_eval over the first 100 and 1000 passages"],
    "arXiv 2409.15700": ["cited there from the BGE-M3 paper, and read there"],
}
# Roy et al. 2020, arXiv 2004.05484: full-pool mAP of mBERT.
_LAREQA_SETS = ("XQuAD-R", "MLQA-R")
_LAREQA = {
    "mbert-en-en": (0.29, 0.36),
    "mbert-x-x": (0.23, 0.26),
    "mbert-x-x-mono": (0.52, 0.49),
    "mbert-x-y": (0.66, 0.49),
}
# Systems that mteb's registry knows, with their names there. The registry names their training data.
_HUB = {
    "mE5-large": "intfloat/multilingual-e5-large",
    "E5-mistral-7b": "intfloat/e5-mistral-7b-instruct",
    "BGE-M3 (Dense)": "BAAI/bge-m3",
    "mGTE-TRM (Dense)": "Alibaba-NLP/gte-multilingual-base",
    "bge-multilingual-gemma2": "BAAI/bge-multilingual-gemma2",
}


_KEPT = {"display_name", "organisation", "released", "submitted", "same_as", "parameters", "not_comparable"}


@dataclass
class System:
    """One published system.

    Attributes:
        name: As ``ORG/NAME`` on the board.
        base_model: The model that it was trained from; "" if the publication does not say.
        training_data: What the publication names, where the registry does not.
        trained_on: Whether it was trained on an evaluation set, by evaluation set.
        hub: Its name in mteb's registry; None if the registry does not know it.
        values: By task, figures by language, setting and metric.
        means: By task, means over languages by setting and metric, if a publication gives only means.
        places: By task, the tables or files that hold the figures.
    """

    name: str
    publication: str
    url: str
    base_model: str = ""
    training_data: list[str] = field(default_factory=list)
    trained_on: dict[str, Answer] = field(default_factory=dict)
    hub: str | None = None
    values: dict[str, Values] = field(default_factory=dict)
    means: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    places: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, task: str, place: str, language: str, setting: str, row: dict[str, str]) -> None:
        """Add the figure in the "metric" and "value" columns of a row."""
        figures = self.values.setdefault(task, {}).setdefault(language, {}).setdefault(setting, {})
        figures[_METRICS.get(row["metric"], row["metric"])] = float(row["value"])
        self.places[task].add(place)


def systems(folder: Path) -> Iterator[System]:
    """Every published system: those in the CSV files of the folder, and those of LAReQA."""
    yield from _hybrid_batches(folder / _PAPER)
    for name, values in _LAREQA.items():
        system = System(f"lareqa/{name}", "LAReQA", "https://arxiv.org/abs/2004.05484", "mBERT", [_SQUAD])
        for task, value in zip(map(_task, _LAREQA_SETS), values, strict=True):
            system.means[task] = {"multilingual": {"mAP": value}}
            system.places[task].add("baselines")
            # All four were trained on SQuAD, or on its translations.
            system.trained_on[task] = "yes"
        yield system
    yield from _passages(folder / _PASSAGES_FILE)


def write_system(system: System, submissions: Path) -> Path:
    """Write the submission of a system: ``model.toml``, and a JSON file per task."""
    folder = submissions / run_folder(system.name, "")
    registry = from_registry(system.hub) if system.hub else {}
    known: dict[str, Any] = {
        key: registry[key] for key in ("licence", "base_model", "citation", "training_data") if key in registry
    }
    if (folder / FILE).is_file():
        # What people added to a row that is there: names, dates, sizes, and what does not compare.
        kept = parse_model_file((folder / FILE).read_bytes(), folder / FILE).model_dump(
            include=_KEPT, exclude_none=True
        )
        known = {**kept, **known}
    answers: dict[str, Answer] = {**dict.fromkeys(evaluation_sets(), "unknown"), **system.trained_on}
    if "trained_on" in registry:
        answers |= registry["trained_on"]
    model = ModelFile.model_validate(
        {
            "format": 1,
            "name": system.name,
            "link": f"https://huggingface.co/{system.hub}" if system.hub else system.url,
            "revision": "",
            "licence": "unknown",
            "query_prefix": "",
            "candidate_prefix": "",
            "base_model": system.base_model,
            "training_data": system.training_data,
            "contact": "the authors of the publication",
            "citation": "",
            **known,
            "trained_on": answers,
        }
    )
    write_atomically(folder / FILE, write_model_file(model))
    for task in {**system.values, **system.means}:
        text = _document(system, task).model_dump_json(indent=1)
        write_atomically(folder / f"{task}.json", (text + "\n").encode())
    return folder


def _document(system: System, task: str) -> Reported:
    per_language = system.values.get(task, {})
    by_metric: dict[str, dict[str, list[float]]] = {}
    for row in (*per_language.values(), system.means.get(task, {})):
        for setting, numbers in row.items():
            for metric, value in numbers.items():
                by_metric.setdefault(setting, {}).setdefault(metric, []).append(value)
    return Reported(
        format=1,
        origin="reported",
        task=ReportedTaskPart(id=task, languages=sorted(per_language)),
        model=ReportedModelPart(name=system.name, parameters=None, dimensions=None),
        headline={
            setting: {name: EstimatePart(value=sum(v) / len(v), low=None, high=None) for name, v in values.items()}
            for setting, values in by_metric.items()
        },
        per_language={
            language: {setting: dict(numbers) for setting, numbers in row.items()}
            for language, row in per_language.items()
        },
        source=SourcePart(
            publication=system.publication,
            url=system.url,
            place=", ".join(sorted(system.places[task])),
            caveats=_caveats(system, task, len(per_language)),
        ),
    )


def _caveats(system: System, task: str, languages: int) -> list[str]:
    facts = board_tasks()[task]
    passages = facts.candidate_text == "passage"
    caveats = [caveat for caveat in _CAVEATS[system.publication] if not (passages and caveat == _SENTENCES)]
    if 0 < languages < len(facts.languages):
        caveats.append(f"mean over {languages} of {len(facts.languages)} languages")
    return caveats


def _hybrid_batches(path: Path) -> Iterator[System]:
    by_key: dict[tuple[str, str], System] = {}
    for row in csv.DictReader(read_text(path, "correct the folder").splitlines()):
        if row["query_language"] in ("Mean", "Median"):
            continue
        key = row["base_model"], row["sampling"]
        if key not in by_key:
            by_key[key] = System(
                name=f"arxiv-2408.10536/{_slug('-'.join(key))}",
                publication="arXiv 2408.10536",
                url="https://arxiv.org/abs/2408.10536",
                base_model=row["base_model"],
                # The publication says that the models are not trained on the evaluation sets.
                trained_on=dict.fromkeys(evaluation_sets(), "no"),
            )
        setting = "bias" if row["metric"] == "rank_distance" else row["setting"]
        place = f"Table {row['paper_table']}"
        by_key[key].add(_task(row["dataset"]), place, row["query_language"], setting, row)
    yield from by_key.values()


def _passages(path: Path) -> Iterator[System]:
    by_name: dict[str, System] = {}
    task = _task(_PASSAGES)
    for row in csv.DictReader(read_text(path, "correct the folder").splitlines()):
        name, source = row["system"], row["source"]
        if name not in by_name:
            pyserini = source.startswith("castorini/pyserini")
            trained: Answer = "yes" if "FT MIRACL" in name else "no" if name.startswith("BM25 (") else "unknown"
            by_name[name] = System(
                name=f"{'pyserini' if pyserini else 'arxiv-2409.15700'}/{_slug(name.replace(' (pyserini)', ''))}",
                publication="pyserini" if pyserini else "arXiv 2409.15700",
                url="https://github.com/castorini/pyserini" if pyserini else "https://arxiv.org/abs/2409.15700",
                trained_on={task: trained},
                hub=_HUB.get(name),
            )
        by_name[name].add(task, source, row["lang"], "monolingual", row)
    yield from by_name.values()


def _task(dataset: str) -> str:
    """The task with this name in a publication, or with this name and split."""
    for name, task in board_tasks().items():
        if dataset in (task.name, f"{task.name}-{task.corpus.split}" if task.corpus else None):
            return name
    raise ClirbenchError(f"no task of the board is called '{dataset[:40]}': correct the file, or add the task")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("published", type=Path, help=f"folder with {_PAPER} and {_PASSAGES_FILE}")
    parser.add_argument("--submissions", type=Path, required=True, help="folder of submissions")
    arguments = parser.parse_args()
    for system in systems(arguments.published):
        print(write_system(system, arguments.submissions))  # noqa: T201


if __name__ == "__main__":
    main()
