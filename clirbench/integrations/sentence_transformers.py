"""clirbench inside a sentence-transformers training: log, CSV and model card get its scores and the rank distance."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from sentence_transformers.base.evaluation import BaseEvaluator

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.evaluation.loaded_task import InMemoryTask
from clirbench.metrics.scores import check_names
from clirbench.results.result import Result
from clirbench.support.context import RunContext
from clirbench.support.errors import ClirbenchError
from clirbench.tasks.collection import load_collection
from clirbench.tasks.selection import choose_languages, choose_settings
from clirbench.tasks.task import Task
from clirbench.tasks.task_file import load_task, standard_suite

_DISTANCE = "rank_distance"


@dataclass(frozen=True)
class EvaluatorOptions:
    """What :class:`CLIREvaluator` reports, and how it encodes: each field is a keyword of its constructor.

    Attributes:
        metric: The metric to report for every setting. None: the task's first metric.
        primary_metric: The number that chooses the best checkpoint: a setting with the metric ("multilingual_mAP"), or
            "rank_distance". None: the metric in the last of the settings.
        name: First part of every key, to which the trainer adds "eval_" in front. None: the task's identifier.
        batch_size: Texts that are encoded at a time.
        query_prompt: Put before each query. None: the model's own.
        candidate_prompt: Put before each candidate. None: the model's own.
        write_csv: Add a line for each call to ``CLIR_evaluation_<name>_results.csv`` in the trainer's folder.
    """

    metric: str | None = None
    primary_metric: str | None = None
    name: str | None = None
    batch_size: int = 32
    query_prompt: str | None = None
    candidate_prompt: str | None = None
    write_csv: bool = True


class EvaluatorKeywords(TypedDict, total=False):
    """The fields of :class:`EvaluatorOptions` as keywords, for type checkers."""

    metric: str | None
    primary_metric: str | None
    name: str | None
    batch_size: int
    query_prompt: str | None
    candidate_prompt: str | None
    write_csv: bool


class CLIREvaluator(BaseEvaluator):  # type: ignore[misc]
    """Evaluates a model on a clirbench task while it trains: the ``evaluator`` of a sentence-transformers trainer.

    The task is loaded once. Each call encodes every distinct text once and computes exact ranks. On a few languages a call takes
    seconds. A model in training mode stays in training mode. ``last_result`` is the whole result of the last call.
    ``greater_is_better`` is False where the primary metric is the rank distance.

    Args:
        task: Identifier, path of a task's TOML file, or Task; None for the first of the standard suite.
        languages: Restrict to these; None for all.
        settings: Restrict to these; None for all.
        **options: Fields of :class:`EvaluatorOptions`.

    Raises:
        ClirbenchError: There is no such task, language, setting or metric, the task is streamed, or the data cannot be loaded.
    """

    def __init__(
        self,
        task: str | Task | None = None,
        languages: Sequence[str] | None = None,
        settings: Sequence[str] | None = None,
        **options: Unpack[EvaluatorKeywords],
    ) -> None:
        super().__init__()
        # A string is a sequence too: "en" would be read as the languages "e" and "n".
        if isinstance(languages, str) or isinstance(settings, str):
            raise ClirbenchError("languages and settings are lists, such as ['en', 'de']")
        chosen = EvaluatorOptions(**options)
        task = standard_suite()[0] if task is None else task
        self.task = load_task(task) if isinstance(task, str) else task
        check_names(self.task)
        if self.task.streamed:
            raise ClirbenchError(
                f"{self.task.id} is read shard by shard, which a training cannot wait for: use clirbench run"
            )
        self.languages = choose_languages(self.task, languages)
        several = len(self.languages) > 1
        self.settings = choose_settings(self.task, settings, self.languages if several else None)
        if not several:
            # One language has no pairs, so this setting is left out. clirbench run refuses it instead.
            self.settings = tuple(setting for setting in self.settings if setting != "cross-lingual")
            if not self.settings:
                raise ClirbenchError("the cross-lingual setting needs two languages: add one to languages")
        self._choose_numbers(chosen, distance=several)
        self.write_csv = chosen.write_csv
        self.csv_file = f"CLIR_evaluation_{self.name}_results.csv"
        self.last_result: Result | None = None
        self._options = EncoderOptions(
            chosen.batch_size, query_prompt=chosen.query_prompt, candidate_prompt=chosen.candidate_prompt
        )
        self._collection = load_collection(self.task, self.languages)

    def _choose_numbers(self, chosen: EvaluatorOptions, *, distance: bool) -> None:
        """Set the reported numbers and the number that chooses the best checkpoint. One language has no rank distance."""
        self.metric = chosen.metric or self.task.metrics[0]
        if self.metric not in self.task.metrics:
            raise ClirbenchError(
                f"{self.task.id} has no metric '{self.metric}': choose from {', '.join(self.task.metrics)}"
            )
        self._keys = [f"{setting}_{self.metric}" for setting in self.settings]
        if distance and "multilingual" in self.settings and _DISTANCE in self.task.bias:
            self._keys.append(_DISTANCE)
        primary = chosen.primary_metric or f"{self.settings[-1]}_{self.metric}"
        if primary not in self._keys:
            raise ClirbenchError(f"primary_metric is '{primary}': choose from {', '.join(self._keys)}")
        self.name = self.task.id if chosen.name is None else chosen.name
        # The trainer looks for the primary metric under the key that __call__ returns.
        self.primary_metric = f"{self.name}_{primary}" if self.name else primary
        self.greater_is_better = primary != _DISTANCE

    @property
    def description(self) -> str:
        """The evaluator's name in the model card."""
        return "Cross-lingual Information Retrieval"

    def get_config_dict(self) -> dict[str, Any]:
        """Task, languages and settings, as the model card lists them."""
        return {"task": self.task.id, "languages": list(self.languages), "settings": list(self.settings)}

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Evaluate the model, a SentenceTransformer or another encoder that :func:`clirbench.evaluate` takes.

        Args:
            model: The model.
            output_path: Folder for the CSV; None for no CSV.
            epoch: Epoch of the training; -1 when it is over.
            steps: Steps of the epoch; -1 when it is over.

        Returns:
            By key: "<task>_multilingual_mAP" and the like (0 to 1), "<task>_rank_distance" (ranks).

        Raises:
            ClirbenchError: The model gives a vector with NaN or infinity, or of a wrong shape. A vector of zeros is not an error:
                its query or candidate is scored as lost.
        """
        loaded = as_loaded(model, self._options)
        unversioned = replace(loaded, info=replace(loaded.info, revision=None))
        task = InMemoryTask(self._collection, self.settings)
        result = evaluate_loaded(unversioned, task, RunContext(allow_zero=True, count_on="cpu"))
        self.last_result = result
        metrics: dict[str, float] = {}
        for key in self._keys:
            setting, metric = ("bias", _DISTANCE) if key == _DISTANCE else (key.split("_", 1)[0], self.metric)
            value = result.score(setting, metric)
            metrics[f"{self.name}_{key}" if self.name else key] = float("nan") if value is None else float(value)
        if hasattr(model, "model_card_data"):
            self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        if output_path is not None and self.write_csv:
            self._append(Path(output_path), [epoch, steps, *metrics.values()])
        return metrics

    def _append(self, folder: Path, row: list[Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.csv_file
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["epoch", "steps", *self._keys])
            writer.writerow(row)
