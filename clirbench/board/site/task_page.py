"""The protocol on a task's page, with an example from the default task, whose texts may be shown."""

from dataclasses import dataclass

from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.task import SETTINGS, Task
from clirbench.tasks.task_file import default_task, load_task

_EXAMPLE_LANGUAGES = ("en", "hi", "ar")
_RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")


@dataclass(frozen=True)
class Example:
    """One question in one language, with its gold candidate and a wrong one."""

    task: str
    language: str
    direction: str
    question: str
    answer: str
    distractor: str


def default_examples() -> list[Example]:
    """The first topic of the default task in three languages; none if its files are not at hand, or the task is on the board.

    Texts of an evaluation set never stand on a page.
    """
    try:
        task = load_task(default_task())
    except ClirbenchError:
        return []
    languages = [language for language in _EXAMPLE_LANGUAGES if language in task.languages]
    if task.board or task.streamed or not languages or any(task.sources[x].path is None for x in languages):
        return []
    collection = load_collection(task, languages)
    examples = []
    for i, language in enumerate(collection.languages):
        query = int(collection.query_starts[i])
        start, stop = collection.candidate_starts[i : i + 2]
        golds = collection.gold_candidate[collection.gold_query == query]
        gold = next(int(c) for c in golds if start <= c < stop)
        wrong = next(c for c in (*range(gold + 1, stop), *range(start, gold)) if c not in golds)
        direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
        texts = collection.queries[query], collection.candidates[gold], collection.candidates[wrong]
        examples.append(Example(task.name, language, direction, *texts))
    return sorted(examples, key=lambda example: _EXAMPLE_LANGUAGES.index(example.language))


def protocol(task: Task) -> list[str]:
    """The protocol of a task in sentences, with numbers from its file."""
    languages, topics, golds = len(task.languages), task.counts["topics"], task.counts["gold_pairs"]
    queries, candidates = (sum(task.counts[key].values()) for key in ("queries", "candidates"))
    if task.streamed:
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
