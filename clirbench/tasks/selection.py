"""The part of a task that is run: languages and settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from clirbench.support.errors import ClirbenchError
from clirbench.tasks.task import Task

# The name that stands for all languages of the data.
ALL = "all"


@dataclass(frozen=True)
class Selection:
    """The part of a task that is run: languages and settings, in the task's order."""

    task: Task
    languages: tuple[str, ...]
    settings: tuple[str, ...]


def select(task: Task, languages: Sequence[str] | None = None, settings: Sequence[str] | None = None) -> Selection:
    """Choose languages and settings by :func:`choose_languages` and :func:`choose_settings`; None for all.

    The languages ``["all"]`` are all of the data, also those that the task does not declare as its own.
    """
    if isinstance(languages, str) or isinstance(settings, str):
        raise ClirbenchError("languages and settings are lists, such as ['en', 'de']")
    if languages is not None and list(languages) == [ALL] and ALL not in task.languages:
        task, languages = (with_all_languages(task) if task.all_languages else task), None
    return Selection(task, choose_languages(task, languages), choose_settings(task, settings, languages))


def with_all_languages(task: Task) -> Task:
    """The task with all languages of its data in the place of those that it declares; its hash is another.

    Its data are parallel, so every language has the counts of the declared ones.

    Raises:
        ClirbenchError: The task declares all languages already, or its languages differ in their counts.
    """
    if not _has_more(task):
        raise ClirbenchError(f"{task.id} has no other languages than {','.join(task.languages)}")
    counts: dict[str, Any] = {}
    for key in ("queries", "candidates"):
        numbers = set(task.counts[key].values())
        if len(numbers) > 1:
            raise ClirbenchError(f"{task.file}: '{key}' differ by language, so 'all_languages' have no known counts")
        counts[key] = dict.fromkeys(task.all_languages, numbers.pop())
    # Each topic is asked in each language, and has its golds in each.
    golds = task.counts["gold_pairs"] // len(task.languages) ** 2
    counts |= {"topics": task.counts["topics"], "gold_pairs": golds * len(task.all_languages) ** 2}
    return replace(task, languages=task.all_languages, counts=counts)


def task_with(task: Task, task_hash: str) -> Task:
    """The task, or the task with all languages of its data if that one has the hash."""
    if task.hash != task_hash and _has_more(task):
        whole = with_all_languages(task)
        return whole if whole.hash == task_hash else task
    return task


def _has_more(task: Task) -> bool:
    """Whether the task's data have more languages than it declares."""
    return bool(task.all_languages) and not task.whole_data


def choose_languages(task: Task, languages: Sequence[str] | None) -> tuple[str, ...]:
    """The languages to run, in the task's order; None means all.

    Raises:
        ClirbenchError: The task has no such language, or the list is empty.
    """
    for language in languages or ():
        if language not in task.languages:
            whole = f", write '{ALL}' alone for all {len(task.all_languages)}" if _has_more(task) else ""
            remedy = f"choose from {','.join(task.languages)}{whole}, or leave {task.id} out of the tasks"
            raise ClirbenchError(f"{task.id} has no language '{language}': {remedy}")
    chosen = tuple(x for x in task.languages if languages is None or x in languages)
    if not chosen:
        raise ClirbenchError(f"no language chosen for {task.id}: choose from {','.join(task.languages)}")
    return chosen


def choose_settings(
    task: Task, settings: Sequence[str] | None, languages: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The settings to run, in the task's order.

    Raises:
        ClirbenchError: The task has no such setting, the list is empty, or the cross-lingual setting is asked of one language.
    """
    one_language = languages is not None and len(set(languages)) == 1
    if one_language and "cross-lingual" in (settings or ()) and "cross-lingual" not in task.absent:
        raise ClirbenchError("the cross-lingual setting needs two languages: add one to --languages")
    for setting in settings or ():
        if setting in task.absent:
            raise ClirbenchError(f"{task.id} has no {setting} setting: {task.absent[setting]}")
        if setting not in task.settings:
            raise ClirbenchError(f"{task.id} has no setting '{setting}': choose from {','.join(task.settings)}")
    chosen = tuple(s for s in task.settings if settings is None or s in settings)
    if not chosen:
        raise ClirbenchError(f"no setting chosen for {task.id}: choose from {','.join(task.settings)}")
    return chosen
