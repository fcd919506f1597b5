"""clirbench's results in the layout of mteb's results repositories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mteb
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.results import TaskResult

from clirbench.integrations.mteb import SPLIT, metadata_of
from clirbench.results.result import Result, refuse_another_task
from clirbench.support.errors import ClirbenchError
from clirbench.support.files import writing
from clirbench.tasks.task_file import list_tasks, load_task

# mteb's name of a metric, by clirbench's name.
_SCORES = {
    "nDCG@10": "ndcg_at_10",
    "nDCG@20": "ndcg_at_20",
    "R@1": "recall_at_1",
    "R@10": "recall_at_10",
    "R@100": "recall_at_100",
    "MRR@10": "mrr_at_10",
}
# mteb's name of a similarity, by clirbench's name.
_SIMILARITIES = {
    "cosine": ScoringFunction.COSINE,
    "dot": ScoringFunction.DOT_PRODUCT,
    "euclidean": ScoringFunction.EUCLIDEAN,
    "maxsim": ScoringFunction.MAX_SIM,
}


def export(result: Result, folder: Path, where: Path | str = "the result") -> list[Path]:
    """Write the result of an unrestricted run on a parallel task below ``folder``, for ``mteb.ResultCache(folder)`` to read.

    The files of scores are ``results/<org__model>/<revision>/<Task>.json``, one for each setting; ``model_meta.json`` lies beside
    them. Each subset has the scores that mteb has too: nDCG@10 (the main score), nDCG@20, R@1, R@10, R@100,
    MRR@10. ``where`` names the result in messages.

    Raises:
        ClirbenchError: The task has no counterpart in mteb, mteb's layout cannot describe the run, the result has no numbers by
            pair of languages for it, or the folder cannot be written.
    """
    document = result.document
    exported = [name for name in list_tasks() if (task := load_task(name)).mteb and not task.streamed]
    if document.task.id not in exported:
        raise ClirbenchError(
            f"{where} is of {document.task.id}, which is no task that clirbench gives to mteb: "
            f"give a result of {', '.join(exported)}"
        )
    refuse_another_task(where, document.task)
    if not document.task.complete:
        raise ClirbenchError(
            f"{where} is of a restricted run, and mteb's layout cannot record that: run all languages and settings"
        )
    if document.compact is not None:
        raise ClirbenchError(
            f"{where} has only {document.compact.metric} by pair of languages, and mteb's layout needs more: "
            "evaluate the model in Python with exact_languages=1000"
        )
    if document.encoder.variant:
        raise ClirbenchError(
            f"mteb's layout records a model's name and revision, but not '{document.encoder.variant}': export a run of the model "
            "as it comes"
        )
    model = document.model
    meta = model_meta(model.name, model.revision, model.dimensions, document.encoder.similarity)
    cache = mteb.ResultCache(folder)
    written = []
    for setting in document.task.settings:
        metadata = metadata_of(load_task(document.task.id), setting, document.task.languages)
        subsets = []
        for name, values in _values(result, setting).items():
            scores = {theirs: values[ours] for ours, theirs in _SCORES.items() if values.get(ours) is not None}
            extra = {"hf_subset": name, "languages": metadata.eval_langs[name]}
            subsets.append({**scores, "main_score": scores["ndcg_at_10"], **extra})
        scored = TaskResult(
            dataset_revision=metadata.revision,
            task_name=metadata.name,
            mteb_version=mteb.__version__,
            scores={SPLIT: subsets},
            evaluation_time=sum(document.cost.seconds.values()),
        )
        with writing(folder, "choose another --output"):
            cache.save_to_cache(scored, meta)
        written.append(Path(cache.get_task_result_path(task_name=metadata.name, model_name=meta)))
    return written


def model_meta(name: str, revision: str | None, dimensions: int | None, similarity: str) -> Any:
    """A model as mteb's ``ModelMeta``, whether or not mteb knows the model."""
    return ModelMeta.create_empty(
        {
            "name": name if "/" in name else f"clirbench/{name}",
            # The revision becomes the name of a folder.
            "revision": (revision or "no_revision_available").replace(":", "-"),
            "embed_dim": dimensions,
            "similarity_fn_name": _SIMILARITIES.get(similarity, ScoringFunction.CUSTOM),
        }
    )


def _values(result: Result, setting: str) -> dict[str, Mapping[str, Any]]:
    """The scores of a setting in each subset, by mteb's name of the subset."""
    document = result.document
    if setting == "cross-lingual":
        return {
            f"{q}-{c}": values for q, row in document.per_pair.items() for c, values in row.items() if values["queries"]
        }
    return {language: values[setting] for language, values in document.per_language.items() if setting in values}
