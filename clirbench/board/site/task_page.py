"""What a task's page says of its protocol, with an example from our own demo set."""

import json
from dataclasses import dataclass

from clirbench.tasks.task import SETTINGS, Task
from clirbench.tasks.task_file import load_task

_EXAMPLE_LANGUAGES = ("en", "hi", "ar")
_RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")


@dataclass(frozen=True)
class Example:
    """One question of the demo set in one language, with its answer and a distractor."""

    language: str
    direction: str
    question: str
    answer: str
    distractor: str


def demo_examples() -> list[Example]:
    """The first topic of the demo set in three languages; never a text of the evaluation sets."""
    task = load_task("demo")
    found = []
    for language in _EXAMPLE_LANGUAGES:
        path = task.sources[language].path
        if path is None:
            continue
        row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
        distractors = row["distractors"]
        direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
        found.append(Example(language, direction, row["question"], row["answer"], distractors[0]))
    return found


def protocol(task: Task) -> list[str]:
    """The protocol of a task in sentences whose numbers come from its file."""
    languages, topics, golds = len(task.languages), task.counts["topics"], task.counts["gold_pairs"]
    queries, candidates = (sum(task.counts[key].values()) for key in ("queries", "candidates"))
    if task.corpus is not None:
        return [
            f"{queries:,} queries and {candidates:,} candidate passages in {languages} languages; {golds:,} pairs of a query and "
            "a gold passage, all in the query's language.",
            f"Monolingual: {languages} pools, each with the passages of the query's language.",
            f"Multilingual: one pool of all {candidates:,} passages.",
            *(f"On the {setting} setting: {text}." for setting, text in task.remarks.items()),
            *(
                f"There is no {f'{name} setting' if name in SETTINGS else name.replace('_', ' ')}: {text}."
                for name, text in task.absent.items()
            ),
            "A candidate is title, a space, and text. Ranks are exact over the whole pool: it is read shard by shard, and the "
            "candidates of each that outrank a gold are counted. Scores are averages over queries, then over languages.",
        ]
    return [
        f"{topics:,} topics, {queries:,} queries and {candidates:,} candidate sentences in {languages} languages; "
        f"{golds:,} pairs of a query and a gold candidate.",
        f"Monolingual: {languages} pools, each with the candidates of the query's language.",
        f"Cross-lingual: {languages * (languages - 1)} pairs of languages, each pool with the candidates of one other language; "
        "a query without a gold there is left out.",
        f"Multilingual: one pool of all {candidates:,} candidates, in which every language's gold counts.",
        "A candidate is a sentence alone, without its paragraph. Scores are averages over queries, then over languages or pairs.",
    ]
