"""The dev task: topics held out of the training data, on which a model is scored while it trains."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.evaluate import rank, score
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import Collection, assemble
from clirbench.tasks.readers import LanguageTexts
from clirbench.tasks.task import SETTINGS, Task
from clirbench.training.overlap import Protected
from clirbench.training.recipe import DevPart, Recipe
from clirbench.training.rows import Row, read_rows, resolve

METRICS = ("mAP", "R@1", "R@10", "nDCG@10")
PARALLEL, NATIVE = "parallel", "native"


def dev_collections(recipe: Recipe, folders: Sequence[Path]) -> dict[str, Collection]:
    """Draw the dev task of a recipe with the recipe's seed. Each file comes from the first folder that has it.

    There are up to two collections. ``parallel`` has the topics of sources that ask for two languages or more, and all settings
    are scored. ``native`` has the topics of sources that ask for one language, and only the monolingual setting is scored. A
    collection without topics is left out.

    Raises:
        ClirbenchError: A file is missing or wrong, or has fewer usable rows than the recipe's ``topics``.
    """
    if recipe.dev is None:
        return {}
    chosen: dict[str, list[Row]] = {PARALLEL: [], NATIVE: []}
    for number, source in enumerate(recipe.dev.source):
        rows, seen = [], set[str]()
        for row in read_rows(resolve(source.file, folders), source.view):
            languages = [x for x in recipe.languages if x in row.queries and x in row.candidates]
            answers = {row.candidates[x] for x in languages}
            # If two topics had the same answer, each would count the other's gold as wrong.
            if len(languages) >= source.languages and not answers & seen:
                seen |= answers
                rows.append(row)
        if len(rows) < source.topics:
            raise ClirbenchError(
                f"dev source '{source.file}' has {len(rows)} rows in {source.languages} languages or more, "
                f"but 'topics' is {source.topics}: lower it"
            )
        picked = np.random.default_rng([recipe.seed, number]).permutation(len(rows))[: source.topics]
        chosen[PARALLEL if source.languages > 1 else NATIVE] += [rows[i] for i in sorted(picked.tolist())]
    return {kind: _collection(kind, rows, recipe) for kind, rows in chosen.items() if rows}


def protect(collections: Sequence[Collection]) -> Protected:
    """Collect the queries and candidates of collections as texts that training must not hold.

    Of a data set on the hub, only the candidates that are gold: all runs of its hundred thousand passages would take gigabytes.
    """
    protected = Protected()
    for collection in collections:
        golds = frozenset(collection.gold_candidate.tolist())
        for i, language in enumerate(collection.languages):
            protected.add(language, collection.queries[collection.query_starts[i] : collection.query_starts[i + 1]])
            rows = range(*collection.candidate_starts[i : i + 2].tolist())
            kept = rows if collection.task.hub is None else [row for row in rows if row in golds]
            protected.add(language, (collection.candidates[row] for row in kept))
    return protected


def score_dev(collections: dict[str, Collection], model: Any) -> dict[str, float]:
    """Score a model on the collections of :func:`dev_collections`; it may be any model that :func:`clirbench.evaluate` takes.

    Scores of the parallel topics have names such as ``multilingual.mAP`` (0 to 1) and ``bias.rank_distance`` (ranks). Scores of
    the native topics have names such as ``native.mAP``. Scores that cannot be computed are left out.
    """
    loaded = as_loaded(model, EncoderOptions(batch_size=256))
    values: dict[str, float] = {}
    for kind, collection in collections.items():
        settings = SETTINGS if kind == PARALLEL else ("monolingual",)
        task, context = InMemoryTask(collection, settings), RunContext(allow_zero=True, count_on="cpu")
        above = task.encode(loaded, context).count(settings, context).added(task.gold_pairs)
        scores = score(task, above, rank(task, above))
        values |= {
            f"{NATIVE if kind == NATIVE else setting}.{metric}": estimate.value
            for setting, by_metric in scores.headline.items()
            for metric, estimate in by_metric.items()
            if estimate.value is not None
        }
    return values


class DevEvaluator(SentenceEvaluator):  # type: ignore[misc]
    """Scores the dev task whenever the trainer evaluates. Every score goes to the trainer's log.

    Raises:
        ClirbenchError: The dev task has no score with the name that ``metric`` of the recipe's ``[dev]`` gives.
    """

    def __init__(self, collections: dict[str, Collection], part: DevPart) -> None:
        super().__init__()
        known = [f"{NATIVE}.{metric}" for metric in METRICS] if NATIVE in collections else []
        if PARALLEL in collections:
            known += [f"{setting}.{metric}" for setting in SETTINGS for metric in METRICS]
            known += [f"bias.{name}" for name in collections[PARALLEL].task.bias]
        if part.metric not in known:
            raise ClirbenchError(f"'dev.metric' is '{part.metric}': choose from {', '.join(known)}")
        self._collections = collections
        self.primary_metric = part.metric
        self.greater_is_better = not part.metric.startswith("bias.")

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Scores by name, as :func:`score_dev` gives them."""
        return score_dev(self._collections, model)


def _collection(kind: str, rows: Sequence[Row], recipe: Recipe) -> Collection:
    """Make a collection of rows. A row is a topic; in each language, the row's candidate is the gold of the row's query."""
    parts = {}
    for language in recipe.languages:
        present = [
            (str(number), row.queries[language], row.candidates[language])
            for number, row in enumerate(rows)
            if language in row.queries and language in row.candidates
        ]
        if present:
            parts[language] = LanguageTexts(
                queries=tuple((topic, query) for topic, query, _ in present),
                candidates=tuple(candidate for _, _, candidate in present),
                golds=tuple((topic, i) for i, (topic, _, _) in enumerate(present)),
            )
    task = Task(
        id=f"dev-{kind}",
        name=f"dev task of {recipe.name}",
        description="topics held out of the training data",
        licence="as the training data",
        homepage="",
        citation="",
        reader="dev",
        candidate_text="sentence",
        gold_sha256="",
        languages=tuple(parts),
        settings=SETTINGS,
        metrics=METRICS,
        bias=("rank_distance", "rank_distance_normalised") if kind == PARALLEL else (),
        sources={},
        counts={},
        file=Path("dev"),
    )
    return assemble(task, tuple(parts), list(parts.values()))
