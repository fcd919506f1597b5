"""Write results for the hub: as files under `.eval_results`, and as the older `model-index` of a model card."""

from pathlib import Path
from typing import Any

from clirbench.results.result import Result, other_run, refuse_another_task
from clirbench.results.stated import stated_settings
from clirbench.support.errors import ClirbenchError, first_line
from clirbench.support.files import write_atomically, writing
from clirbench.support.text_files import read_text
from clirbench.tasks.task_file import list_tasks, load_task


def scores_of(results: list[Result]) -> tuple[str, list[Any]]:
    """Convert the headline numbers of one model to the hub's records. Shares are from 0 to 1.

    Each record says how the texts were encoded.

    Returns:
        The name of the model, and one ``huggingface_hub.EvalResult`` per headline number.

    Raises:
        ClirbenchError: The results are of different models or on one task, or one is of a restricted run.
    """
    from huggingface_hub import EvalResult

    names = {result.document.model.name for result in results}
    if len(names) > 1:
        raise ClirbenchError(f"the results are of different models ({', '.join(sorted(names))}): give those of one")
    first = results[0].document
    for other in (result.document for result in results[1:]):
        if part := other_run(first, other):
            pair = f"{first.task.id} and {other.task.id}"
            raise ClirbenchError(f"the results on {pair} differ in '{part}': give those of one run")
    if len({result.document.task.id for result in results}) < len(results):
        raise ClirbenchError("two of the results are on one task: give one of them")
    scores = []
    for result in results:
        document = result.document
        refuse_another_task("the result", document.task)
        known = load_task(document.task.id) if document.task.id in list_tasks() else None
        if not document.task.complete:
            raise ClirbenchError(
                f"the result on {document.task.id} is of a restricted run, which a reader could not tell from a full one: "
                "run all languages and settings"
            )
        scores += [
            EvalResult(
                task_type="retrieval",
                task_name="Multilingual retrieval",
                dataset_type=f"clirbench/{document.task.id}",
                dataset_name=f"{known.name if known else document.task.id} ({setting})",
                dataset_config=setting,
                dataset_args=stated_settings(document),
                metric_type=f"{setting}_{name}",
                metric_name=name,
                metric_value=round(estimate.value, 6),
            )
            for setting, numbers in document.headline.items()
            for name, estimate in numbers.items()
            if estimate.value is not None
        ]
    return names.pop(), scores


def write_eval_results(results: list[Result], folder: Path) -> list[Path]:
    """Write a file per task under ``.eval_results`` of a model's folder, as the hub reads them; return the files.

    The format is that of huggingface/hub-docs, eval_results.yaml. The data set is ``clirbench/TASK``, and the task within it is
    the setting and the metric, as in "multilingual_mAP". Shares are from 0 to 1.

    Raises:
        ClirbenchError: The folder is missing, a file cannot be written, or the results do not go together.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    if not folder.is_dir():
        raise ClirbenchError(f"--eval-results is '{folder}', which is no folder: name the model's folder")
    _, scores = scores_of(results)
    files = []
    for dataset in dict.fromkeys(score.dataset_type for score in scores):
        entries = [
            EvalResultEntry(
                dataset_id=dataset,
                task_id=score.metric_type,
                value=score.metric_value,
                notes="; ".join(f"{key}: {value}" for key, value in (score.dataset_args or {}).items()),
            )
            for score in scores
            if score.dataset_type == dataset
        ]
        path = folder / ".eval_results" / f"{dataset.replace('/', '-')}.yaml"
        with writing(path, "give another folder"):
            write_atomically(path, yaml_dump(eval_result_entries_to_yaml(entries)).encode())
        files.append(path)
    return files


def card_yaml(results: list[Result]) -> str:
    """The YAML that stands between the two lines of `---` at the head of a model card."""
    from huggingface_hub import ModelCardData

    name, scores = scores_of(results)
    return str(ModelCardData(model_name=name, eval_results=scores).to_yaml())


def update_card(results: list[Result], path: Path) -> int:
    """Put the scores into the head of a model card, and return their number. A missing card is made.

    Scores on other data sets, other keys and the text do not change.

    Raises:
        ClirbenchError: The card cannot be read or written, its head is not YAML, or the results do not go together.
    """
    from huggingface_hub import ModelCard

    text = read_text(path, "give another file") if path.exists() else "---\n{}\n---\n"
    try:
        card: Any = ModelCard(text, ignore_metadata_errors=False)
    # The YAML parser may raise anything, and the cause is always the card.
    except Exception as error:
        raise ClirbenchError(
            f"{path}: cannot be read as a model card ({first_line(error)}): correct it, or give another file"
        ) from error
    name, scores = scores_of(results)
    mine = {score.dataset_type for score in scores}
    kept = [score for score in card.data.eval_results or [] if score.dataset_type not in mine]
    card.data.model_name = card.data.model_name or name
    card.data.eval_results = [*kept, *scores]
    with writing(path, "give another file"):
        write_atomically(path, str(card).encode())
    return len(scores)
