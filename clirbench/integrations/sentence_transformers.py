"""clirbench inside a sentence-transformers training: every setting and the rank distance in logs, CSV and model card."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sentence_transformers.base.evaluation import BaseEvaluator

from clirbench.encoders.base import EncoderOptions
from clirbench.encoders.load import as_loaded
from clirbench.evaluation.evaluate import evaluate_loaded
from clirbench.metrics.scores import check_names
from clirbench.results.result import Result
from clirbench.support.errors import ClirbenchError
from clirbench.support.progress import Silent
from clirbench.tasks.collection import choose_languages, choose_settings, load_collection
from clirbench.tasks.task import Task
from clirbench.tasks.task_file import load_task

_DISTANCE = "rank_distance"


class CLIREvaluator(BaseEvaluator):  # type: ignore[misc]
    """Evaluates the model in training on a clirbench task; pass it to a sentence-transformers trainer as ``evaluator``.

    The task is loaded once. Each call encodes every distinct text once and counts exact ranks, so that on a few languages it
    takes seconds. It restores the model's training mode. ``last_result`` is the whole result of the last call.

    Args:
        task: Identifier, path of a task's TOML file, or Task.
        languages: Restrict to these; None for all.
        settings: Restrict to these; None for all.
        metric: What is reported for every setting; None for the task's first metric.
        primary_metric: What checkpoints are chosen by: a setting with a metric ("multilingual_mAP") or "rank_distance"; None
            for ``metric`` in the last setting that is run. ``greater_is_better`` follows from it.
        name: Put before every key; None for the task's identifier. The trainer puts "eval_" before it.
        batch_size: Texts per batch.
        query_prompt: Put before each query; None for the model's own.
        candidate_prompt: Put before each candidate; None for the model's own.
        write_csv: Append a line per call to ``CLIR_evaluation_<name>_results.csv`` in the folder of the trainer.

    Raises:
        ClirbenchError: There is no such task, language, setting or metric, or the data cannot be had.
    """

    def __init__(
        self,
        task: str | Task = "xquad-r",
        languages: Sequence[str] | None = None,
        settings: Sequence[str] | None = None,
        *,
        metric: str | None = None,
        primary_metric: str | None = None,
        name: str | None = None,
        batch_size: int = 32,
        query_prompt: str | None = None,
        candidate_prompt: str | None = None,
        write_csv: bool = True,
    ) -> None:
        super().__init__()
        task = load_task(task) if isinstance(task, str) else task
        check_names(task)
        if task.corpus is not None:
            raise ClirbenchError(
                f"{task.id} is read shard by shard, which a training cannot wait for: use clirbench run"
            )
        if isinstance(languages, str) or isinstance(settings, str):
            raise ClirbenchError("languages and settings are lists, such as ['en', 'de']")
        self.languages = choose_languages(task, languages)
        self.settings = choose_settings(task, settings, self.languages if len(self.languages) > 1 else None)
        if len(self.languages) == 1:
            self.settings = tuple(setting for setting in self.settings if setting != "cross-lingual")
        self.task, self.metric = task, metric or task.metrics[0]
        if self.metric not in task.metrics:
            raise ClirbenchError(f"{task.id} has no metric '{self.metric}': choose from {', '.join(task.metrics)}")
        self.name = task.id if name is None else name
        self.write_csv = write_csv
        self.csv_file = f"CLIR_evaluation_{self.name}_results.csv"
        self.last_result: Result | None = None
        self._options = EncoderOptions(
            batch_size=batch_size, query_prompt=query_prompt, candidate_prompt=candidate_prompt
        )
        self._keys = [f"{setting}_{self.metric}" for setting in self.settings]
        if "multilingual" in self.settings and _DISTANCE in task.bias and len(self.languages) > 1:
            self._keys.append(_DISTANCE)
        chosen = primary_metric or f"{self.settings[-1]}_{self.metric}"
        if chosen not in self._keys:
            raise ClirbenchError(f"primary_metric is '{chosen}': choose from {', '.join(self._keys)}")
        self.primary_metric = f"{self.name}_{chosen}" if self.name else chosen
        self.greater_is_better = chosen != _DISTANCE
        self._collection = load_collection(task, self.languages)

    @property
    def description(self) -> str:
        """What the model card calls it."""
        return "Cross-lingual Information Retrieval"

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says of its settings."""
        return {"task": self.task.id, "languages": list(self.languages), "settings": list(self.settings)}

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Evaluate the model.

        Args:
            model: A SentenceTransformer, or another encoder that :func:`clirbench.evaluate` takes.
            output_path: Folder for the CSV; None for none.
            epoch: Of the training, as the trainer gives it; -1 after it.
            steps: Likewise.

        Returns:
            By key, such as "xquad-r_multilingual_mAP" (0 to 1) and "xquad-r_rank_distance" (ranks).

        Raises:
            ClirbenchError: A vector of the model is wrong; an all-zero one is scored as lost.
        """
        loaded = as_loaded(model, self._options)
        result = evaluate_loaded(
            replace(loaded, info=replace(loaded.info, revision=None)),
            self._collection,
            self.settings,
            {"load": 0.0},
            None,
            allow_zero_vectors=True,
            reporter=Silent(),
        )
        self.last_result = result
        values = {
            key: result.score("bias", _DISTANCE)
            if key == _DISTANCE
            else result.score(key.split("_", 1)[0], self.metric)
            for key in self._keys
        }
        metrics: dict[str, float] = {
            f"{self.name}_{key}" if self.name else key: float("nan") if value is None else float(value)
            for key, value in values.items()
        }
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
